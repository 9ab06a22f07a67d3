/**
 * The process that watches: keyspaces, and tens of watchers of all kinds in each, slow and fast, which join, leave and
 * abort their gets. It writes what each is delivered to stdout, and does what stdin says. It is compiled to one file
 * with the library, which may be one that was broken on purpose.
 *
 * When it is told to finish it closes everything and does no more: that it ends is the library's to show.
 */
import { setMaxListeners } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { isEventValueError, text, type Watcher } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import type { Batch, KeyRange, KeyUpdate, KeyValue, RangeSelector, RangeWatcher } from "../../src/keyspace.ts";
import { Random } from "../support/seed.ts";
import { LibraryWriter } from "./library-writer.ts";
import { type Change, type Command, now, type Recorded, short, type Subject } from "./recording.ts";

const { seed, namespace, auth, keyspaces } = JSON.parse(process.argv[2]!) as Subject;

let lines: string[] = [];

/** Written together, as a write for each would take longer than the library. */
function record(recorded: Recorded): void {
  if (lines.push(JSON.stringify(recorded)) === 1) setImmediate(flush);
}

function flush(): void {
  process.stdout.write(`${lines.join("\n")}\n`);
  lines = [];
}

const finish = new AbortController();
// As many as there are watchers, all of this program's own.
setMaxListeners(0, finish.signal);
/** Nobody who comes and goes does; all take what there is. */
let calm = false;
let watchers = 0;
/** How many watchers there are of each key or range that shares a watch of the server. */
const open = new Map<object, number>();

const ranges: readonly { readonly start: string; readonly end: string }[] = [
  { start: "", end: "\u{10ffff}" },
  { start: "account/", end: "account0" },
  { start: "key/", end: "key0" },
  { start: "account/3", end: "key/07" },
  { start: "key/05", end: "key/15" },
];
const single = ["key/00", "key/01", "account/0"];

function small(change: Batch<string>["changes"][number] | KeyUpdate<string>): Change {
  if (change.type === "invalid") throw change.error;
  const { key, revision: at } = change;
  if (change.type === "delete") return { type: "delete", key, at };
  // What is long is what was written, to its last character.
  if (!/^\S+( x*)?$/.test(change.value)) throw new Error(`a value was changed under way: ${change.value}`);
  return { type: "put", key, value: short(change.value), at, created: change.createRevision };
}

/** Opens a watcher and lets `use` have it, until that returns or all is finished; records its life. */
async function watching<W extends Watcher<unknown>>(
  keyspace: number,
  how: string,
  source: { watch(): W },
  { start, end }: { start: string; end: string },
  use: (watcher: W, id: number) => Promise<void>,
  plain = false,
): Promise<void> {
  const watcher = source.watch();
  const id = watchers++;
  open.set(source, (open.get(source) ?? 0) + 1);
  record({ what: "opened", watcher: id, keyspace, how, start, end, ...(plain && { plain }) });
  const close = (): void => watcher.close();
  finish.signal.addEventListener("abort", close);
  try {
    await use(watcher, id);
  } catch (error) {
    if (!finish.signal.aborted || !isEventValueError(error, "EV_CLOSED")) {
      record({ what: "failed", watcher: id, message: String((error as Error).stack) });
    }
  } finally {
    finish.signal.removeEventListener("abort", close);
    close();
    const left = open.get(source)! - 1;
    if (left === 0) open.delete(source);
    else open.set(source, left);
    record({ what: "closed", watcher: id });
  }
}

type Options = { readonly signal?: AbortSignal; readonly backlogOnly?: boolean };

async function takeBatch(watcher: RangeWatcher<string>, id: number, options?: Options): Promise<void> {
  const asked = now();
  const { type, revision, changes } = await watcher.getBatch(options);
  record({ what: "delivered", watcher: id, asked, changes: changes.map(small), batch: { type, revision } });
}

async function takeOne(watcher: Watcher<KeyUpdate<string>>, id: number, options?: Options): Promise<void> {
  const asked = now();
  const change = await watcher.get(options);
  record({ what: "delivered", watcher: id, asked, changes: [small(change)] });
}

function pause(random: Random, ms: number): Promise<void> {
  return ms === 0 ? Promise.resolve() : delay(random.below(2 * (calm ? Math.min(ms, 20) : ms)));
}

/** Whether a get failed as it may: there was nothing, or it was aborted. */
function isExpected(error: unknown): boolean {
  return isEventValueError(error, "EV_BACKLOG_DONE") || (error as Error).name === "TimeoutError";
}

function batches(ms: number, random: Random) {
  return async (watcher: RangeWatcher<string>, id: number): Promise<void> => {
    for (;;) {
      await takeBatch(watcher, id);
      await pause(random, ms);
    }
  };
}

function singles(ms: number, random: Random) {
  return async (watcher: Watcher<KeyUpdate<string>>, id: number): Promise<void> => {
    for (;;) {
      await takeOne(watcher, id);
      await pause(random, ms);
    }
  };
}

/** Gets, batches, backlogs and aborts, as chance has it. */
function anyhow(random: Random) {
  return async (watcher: RangeWatcher<string>, id: number): Promise<void> => {
    for (;;) {
      const backlogOnly = random.below(3) === 0;
      const options: Options =
        random.below(3) === 0 ? { backlogOnly, signal: AbortSignal.timeout(1 + random.below(30)) } : { backlogOnly };
      try {
        await (random.below(2) === 0 ? takeBatch : takeOne)(watcher, id, options);
      } catch (error) {
        if (!isExpected(error)) throw error;
        await delay(1 + random.below(30));
      }
      await pause(random, random.below(4) === 0 ? 50 : 0);
    }
  };
}

/** Joins, stays for some batches or gets, and leaves; again and again. */
async function comeAndGo(
  keyspace: number,
  range: KeyRange<string>,
  keys: (typeof ranges)[number],
  random: Random,
): Promise<void> {
  while (!finish.signal.aborted) {
    await watching(keyspace, "come and go", range, keys, async (watcher, id) => {
      const first = random.below(3) === 0 ? takeOne : takeBatch;
      // Who leaves before the first answer has come is as welcome.
      const signal = AbortSignal.any([
        finish.signal,
        AbortSignal.timeout(random.below(8) === 0 ? random.below(20) : 60_000),
      ]);
      try {
        await first(watcher, id, { signal });
        for (let stay = random.below(6); stay > 0; stay--) {
          await takeBatch(watcher, id, { signal: AbortSignal.timeout(random.below(200)) });
        }
      } catch (error) {
        if (!isExpected(error) && !finish.signal.aborted) throw error;
      }
    });
    await delay(random.below(100));
    while (calm && !finish.signal.aborted) await delay(20);
  }
}

/** A live map: what it tells, and what it is at any moment. */
async function live(keyspace: number, range: KeyRange<string>, keys: (typeof ranges)[number], random: Random) {
  const map = await range.live({ signal: finish.signal });
  await watching(keyspace, "live", map, keys, async (watcher, id) => {
    let last = "";
    const pass = (): void => {
      const { revision } = map;
      const values = Object.fromEntries([...map].map(([key, value]) => [key, short(value)]));
      const line = JSON.stringify([revision, values]);
      if (line !== last) record({ what: "passed", watcher: id, revision, values });
      last = line;
    };
    void (async () => {
      for (; !finish.signal.aborted; await delay(random.below(50))) pass();
    })();
    for (;;) {
      const asked = now();
      const { type, revision, changes } = await watcher.get();
      record({ what: "delivered", watcher: id, asked, changes: changes.map(small), batch: { type, revision } });
      if (map.revision < revision) throw new Error(`the map is at ${map.revision}, behind its batch of ${revision}`);
      pass();
      await pause(random, 30);
    }
  });
}

/** The values of a key, as most users take them. */
function values(ms: number, random: Random) {
  return async (watcher: Watcher<string | undefined>, id: number): Promise<void> => {
    for (;;) {
      const value = await watcher.get();
      record({ what: "told", watcher: id, value: value === undefined || value === "absent" ? null : short(value) });
      await pause(random, ms);
    }
  };
}

const selectors: readonly RangeSelector[] = ranges.map((keys) => (keys.start === "" ? "" : keys));
const opened = keyspaces.map((setting, at) => {
  const keyspace = new EtcdKeyspace({ ...setting, namespace, auth });
  const random = (): Random => new Random(seed + 1000 * at + watchers);
  for (const [i, keys] of ranges.entries()) {
    // Watchers of one object share a watch of the server, those of another do not.
    const range = keyspace.range(selectors[i]!, text);
    void watching(at, "batches", range, keys, batches(0, random()));
    void watching(at, "slow batches", range, keys, batches(i % 2 === 0 ? 150 : 1500, random()));
    void watching(at, "singles", range, keys, singles(0, random()));
    void watching(at, "slow singles", range, keys, singles(3, random()));
    void watching(at, "anyhow", range, keys, anyhow(random()));
    if (i < 2) void comeAndGo(at, range, keys, random());
  }
  void comeAndGo(at, keyspace.range("", text), ranges[0]!, random());
  for (const i of [0, 1]) void live(at, keyspace.range(selectors[i]!, text), ranges[i]!, random());
  for (const key of single) {
    const keys = { start: key, end: `${key}\0` };
    const value: KeyValue<string, never> = keyspace.value(key, text, { default: "absent" });
    void watching(at, "values", value, keys, values(5, random()), true);
    const updates = keyspace.value(key, text).updates;
    void watching(at, "updates", updates, keys, singles(0, random()));
    void watching(at, "slow updates", updates, keys, singles(100, random()));
  }
  void (async () => {
    for await (const { state } of keyspace.status.watch({ signal: finish.signal })) {
      record({ what: "status", keyspace: at, state, at: now() });
    }
  })().catch(() => {});
  return keyspace;
});
const writers = opened.map(
  (keyspace, at) => new LibraryWriter(at, keyspace, new Random(seed + 7919 * (at + 1)), record),
);

const commands = createInterface({ input: process.stdin });
commands.on("line", (line) => {
  const command = JSON.parse(line) as Command;
  if (command.do === "calm") ({ calm } = command);
  else if (command.do === "write" && command.write) for (const writer of writers) writer.start();
  else if (command.do === "write") {
    void Promise.all(writers.map((writer) => writer.rest())).then(() => record({ what: "rests" }));
  } else if (command.do === "measure") {
    globalThis.gc!();
    const { heapUsed, external } = process.memoryUsage();
    record({ what: "measured", bytes: heapUsed + external, watches: open.size });
  } else {
    finish.abort();
    for (const keyspace of opened) void keyspace.close();
    // What ends this process now is that nothing is left.
    commands.close();
    process.stdin.destroy();
  }
});
