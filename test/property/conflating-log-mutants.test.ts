/**
 * A test of the test: each of these ways to get the conflating log wrong is found by the very runs that find
 * nothing wrong with it. A mutant is the log's source with one place replaced.
 */
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Random, seed } from "../support/seed.ts";
import { findViolation, type LogClass, Violation } from "./conflating-log-model.ts";

/** What is wrong, the text that is right, and what stands there instead. */
const mutants: ReadonlyArray<readonly [wrong: string, right: string, instead: string]> = [
  ["remembers no lifetime", "this.marks.newest >= entry.born", "false"],
  [
    "remembers no lifetime of a key that is the last thing read",
    "this.marks.newest >= entry.born",
    "this.marks.newest > entry.born",
  ],
  ["remembers every lifetime", "this.marks.newest >= entry.born", "true"],
  [
    "forgets a deleted key that a cursor in mid-pass was handed",
    "entry.lifetimes === undefined && entry.pins === 0",
    "entry.lifetimes === undefined",
  ],
  [
    "forgets a deleted key that a drained cursor holds",
    "entry.lifetimes === undefined && entry.pins === 0",
    "entry.pins === 0",
  ],
  ["never forgets a deleted key", "entry.lifetimes === undefined && entry.pins === 0", "false"],
  ["counts a key that comes back as alive all the while", "    past.born = entry.seq;\n", ""],
  ["ends a lifetime too late", "push(past.born, this.head + 1)", "push(past.born, this.head + 2)"],
  ["begins a lifetime too late", "push(past.born, this.head + 1)", "push(past.born + 1, this.head + 1)"],
  ["drops a lifetime with a mark at its beginning", "countUpTo(positions, born - 1)", "countUpTo(positions, born)"],
  ["keeps a lifetime with a mark at its end", "countUpTo(positions, died - 1)", "countUpTo(positions, died)"],
  [
    "tells of a change of revision only",
    "    entry.revision = revision;\n    this.#append(entry);",
    "    entry.revision = revision;\n    this.#append(entry);\n    entry.past().changed = entry.seq;",
  ],
  ["tells of no change of a known key", "    past.changed = entry.seq;\n", ""],
  [
    "does not record the revision of an equal put",
    "else if (entry.revision !== revision) this.#restamp(entry, revision);",
    "",
  ],
  ["takes any bytes for equal at a put", "&& holds(this.packed, bytes)", ""],
  ["takes any bytes for equal in a merge", "return samePacked(this.packed, packed);", "return true;"],
  [
    "keeps what was decoded of other bytes",
    "    entry.decoded = undefined;\n    this.#restamp(entry, revision);\n    const past",
    "    this.#restamp(entry, revision);\n    const past",
  ],
  [
    "keeps what was decoded of a deleted key",
    "    entry.decoded = undefined;\n    this.#tombstones++;",
    "    this.#tombstones++;",
  ],
  [
    "clears what was decoded at an equal put",
    "    entry.revision = revision;\n    this.#append(entry);",
    "    entry.revision = revision;\n    entry.decoded = undefined;\n    this.#append(entry);",
  ],
  ["leaves a slot without what was true in it", "if (this.seq !== 0) this.past();", ""],
  ["takes a key that was created anew for the same in a merge", "|| this.createRevision !== createRevision", ""],
  [
    "leaves keys that were not changed by a rewind in their place",
    "if (!rewound && entry?.revision",
    "if (entry?.revision",
  ],
  ["leaves owed deletions in their place at a rewind", "if (rewound) this.#restampTombstones(revision);", ""],
  ["merges without deleting what vanished", "if (this.#size > listed) {", "if (false) {"],
  ["deletes what a merge has just put", "entry.live && entry.seq <= before && ", "entry.live && "],
  ["deletes what a merge has left in its place", " && !staying.has(entry)", ""],
  ["counts keys twice in a merge", "listed += keys.length;", "listed += 2 * keys.length;"],
  [
    "merges in the order given",
    'import { byRevision } from "./by-revision.ts";',
    "function* byRevision<T>(pages: readonly (readonly T[])[]): Generator<undefined, T[]> { return pages.flat(); }",
  ],
  [
    "may be read in the midst of a merge",
    "const before = this.head;",
    "const before = this.head;\n    this.#merging = false;",
  ],
  [
    "may be read in the midst of its first merge",
    "const slots = yield* byRevision(moving, 4 * stepSize);",
    "const slots = yield* byRevision(moving, 4 * stepSize);\n    this.#merging = false;",
  ],
  [
    "leaves cursors where they stood before its first state",
    "    this.sweeps++;\n    this.#work = 0;\n    this.#endMerge",
    "    this.#work = 0;\n    this.#endMerge",
  ],
  ["takes an equal revision for an equal key", " && entry.isLike(one)", ""],
  [
    "hands what it handed before",
    "if (entry.live) return entry.changed > (told ?? this.#drained);",
    "if (entry.live) return entry.changed > this.#drained;",
  ],
  [
    "hands again what stood last before its position",
    "entry.live && entry.changed > this.#at",
    "entry.live && entry.changed >= this.#at",
  ],
  [
    "hands no deletion of what it handed in this pass",
    "return told === undefined ? entry.livedAt(this.#drained) : told !== gone;",
    "return told === undefined && entry.livedAt(this.#drained);",
  ],
  [
    "hands deletions twice in a pass",
    "return told === undefined ? entry.livedAt(this.#drained) : told !== gone;",
    "return entry.livedAt(this.#drained) || (told !== undefined && told !== gone);",
  ],
  [
    "hands deletions to everybody",
    "return told === undefined ? entry.livedAt(this.#drained) : told !== gone;",
    "return told !== gone;",
  ],
  [
    "does not note that it told of a deletion",
    "if (entry.livedAt(this.#drained)) this.#handed.set(entry, gone);\n    else",
    "",
  ],
  [
    "notes deletions that nothing recalls",
    "if (entry.livedAt(this.#drained)) this.#handed.set(entry, gone);\n    else this.#handed.delete(entry);",
    "this.#handed.set(entry, gone);",
  ],
  ["pins a key each time it is handed", "if (!pinned) entry.pins++;", "entry.pins++;"],
  ["pins no key", "if (!pinned) entry.pins++;", ""],
  ["leaves a key pinned whose deletion it told of", "if (pinned) this.#log.unpin(entry);", ""],
  ["leaves keys pinned at the end of a pass", "if (told !== gone) this.#log.unpin(entry);", ";"],
  ["unpins keys it does not pin", "if (told !== gone) this.#log.unpin(entry);", "this.#log.unpin(entry);"],
  [
    "ends a pass only when asked for more",
    "if (this.#seek() !== undefined) {\n        this.#note(entry);",
    "{\n        this.#note(entry);",
  ],
  ["forgets what it handed when more follows", "        this.#note(entry);\n", ""],
  ["does not drain at the end of a pass", "      this.#drained = log.head;\n", ""],
  [
    "leaves its mark behind",
    "if (this.#mark !== undefined) log.unmark(this.#mark);\n      this.#mark = log",
    "this.#mark = log",
  ],
  ["sets no mark", "this.#mark = log.marks.enter(log.head);", ""],
  [
    "leaves its mark when it closes",
    "if (this.#mark !== undefined) this.#log.unmark(this.#mark);\n    this.#mark = undefined;",
    "",
  ],
  ["reads on after it closed", "if (this.#closed) return undefined;\n    // Who", "// Who"],
  ["loses its place in a sweep", "if (this.#sweeps !== this.#log.sweeps) {", "if (false) {"],
  [
    "skips one when it finds its place",
    "this.#index = countUpTo(this.#log.seqs, this.#at);",
    "this.#index = countUpTo(this.#log.seqs, this.#at + 1);",
  ],
  ["shows what is not owed", "if (entry.seq !== seq || !this.#isNews(entry)) continue;", ""],
  [
    "shows one less",
    "const end = Math.min(i + most, slots.length);",
    "const end = Math.min(i + most, slots.length - 1);",
  ],
  ["shows again what it has shown", "after > this.#at ? countUpTo(seqs, after)", "after > this.#at ? this.#start()"],
  ["does not take what was looked at", "if (!this.#closed) this.#endPass();", ""],
  ["says that there is less than there is", "this.#log.slots.length - this.#start();", "this.#log.marks.size;"],
  ["is the same to who looks, though a key was dropped", "this.#forgotten++;", ""],
  ["never sweeps", "if (this.#work > 16 + toGoThrough / 2) this.#sweep();", ""],
  ["sweeps away what follows a blank", "kept++;", "kept = i + 1;"],
  ["does not count blanks", "    this.#append(entry);\n    this.#work++;", "    this.#append(entry);"],
  ["does not count deletions that were told", "    this.#work += 2 *", "    this.#work += 0 *"],
];

let directory: string;
let source: string;
const range = new URL("../../src/range/", import.meta.url);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "conflating-log-"));
  source = await readFile(new URL("conflating-log.ts", range), "utf8");
  for (const file of ["ascending.ts", "marks.ts", "packed.ts", "by-revision.ts"])
    await copyFile(new URL(file, range), join(directory, file));
});

afterAll(() => rm(directory, { recursive: true }));

/** Compiles a source of the log and returns its class. */
async function compile(name: string, text: string): Promise<LogClass> {
  const file = join(directory, `${name}.ts`);
  await writeFile(file, text);
  const module = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as { readonly ConflatingLog: LogClass };
  return module.ConflatingLog;
}

describe(`the random runs of the conflating log (seed ${seed})`, () => {
  test("find nothing wrong with the log itself, compiled as its mutants are", async () => {
    expect(findViolation(await compile("right", source), new Random(seed), 200)).toBeUndefined();
  });

  test.each(mutants.map((mutant, i) => [...mutant, i] as const))(
    "find a log that %s",
    async (_wrong, right, instead, i) => {
      expect(source.split(right), "the text to replace is there once").toHaveLength(2);
      const Mutant = await compile(
        `mutant-${i}`,
        source.replace(right, () => instead),
      );
      const found = findViolation(Mutant, new Random(seed), 20_000);
      expect(found?.error, "it survived, or broke down").toBeInstanceOf(Violation);
    },
  );
});
