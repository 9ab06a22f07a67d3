/**
 * What an update of a range costs, and what reading costs: `npm run build && node bench/conflating-log.mjs`.
 *
 * - Does an update cost the same beside ten thousand idle cursors as beside one? (also where each stands elsewhere)
 * - What does a key cost in a batch of 100,000, and in as many single reads?
 * - What does an update cost in a million of them over a thousand keys, with one cursor that follows?
 * - What does a key cost in a merge, and how long does a merge in steps have the event loop at a time?
 */
import { cpus } from "node:os";
import { ConflatingLog } from "../dist/range/conflating-log.js";

const bytes = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
const rounds = 7;
/** What was read; printed at the end, so that reading cannot be left out. */
let consumed = 0;

/** Runs `round` some times, which returns the nanoseconds one operation took; returns the median and the spread. */
function measure(round) {
  round();
  const times = Array.from({ length: rounds }, round);
  times.sort((a, b) => a - b);
  return { ns: times[rounds >> 1], least: times[0], most: times[rounds - 1] };
}

function timed(operations, run) {
  const start = performance.now();
  run();
  return ((performance.now() - start) * 1e6) / operations;
}

function report(what, { ns, least, most }, base) {
  const ratio = base === undefined ? "" : `${(ns / base).toFixed(2)} x`;
  console.log(
    `${what.padEnd(64)} ${ns.toFixed(0).padStart(6)} ns  (${least.toFixed(0)} to ${most.toFixed(0)})  ${ratio}`,
  );
  return ns;
}

function filled(keys) {
  const log = new ConflatingLog();
  const names = Array.from({ length: keys }, (_, i) => `service/instance-${i}`);
  log.merge(
    names.map((key, i) => ({ key, bytes: bytes[0], revision: i + 1, createRevision: i + 1 })),
    keys,
    { rewound: false },
  );
  return { log, names };
}

/** Updates with `cursors` idle ones: all at one place, or `scattered`, each having drained after another update. */
function updates(cursors, scattered, deletes) {
  const keys = 1_000;
  const { log, names } = filled(keys);
  let revision = log.revision;
  for (let i = 0; i < cursors; i++) {
    if (scattered) log.put(names[i % keys], bytes[i & 1], ++revision, 1);
    log.settle(revision);
    consumed += log.join().batch().length;
  }
  const count = 200_000;
  return measure(() =>
    timed(count, () => {
      for (let i = 0; i < count; i++) {
        const key = names[(i * 7) % keys];
        if (deletes && Math.floor(i / keys) % 2 === 0) log.delete(key, ++revision);
        else log.put(key, bytes[i & 1], ++revision, revision);
        log.settle(revision);
      }
    }),
  );
}

console.log(`${cpus()[0].model}, Node ${process.version}, median of ${rounds} rounds (least to most)\n`);

for (const [what, scattered, deletes] of [
  ["update, idle cursors at one place", false, false],
  ["update, idle cursors each elsewhere", true, false],
  ["update, every other one a delete, idle cursors each elsewhere", true, true],
]) {
  const one = report(`${what}: 1`, updates(1, scattered, deletes));
  for (const cursors of [100, 10_000]) report(`${what}: ${cursors}`, updates(cursors, scattered, deletes), one);
}

{
  const keys = 100_000;
  const { log, names } = filled(keys);
  const batch = report(
    "batch of 100,000 keys, a key",
    measure(() => timed(keys, () => (consumed += log.join().batch().length))),
  );
  const single = () => {
    const cursor = log.join();
    return timed(keys, () => {
      while (cursor.next() !== undefined) consumed++;
    });
  };
  report("100,000 keys one by one, a key", measure(single), batch);
  // Blanks everywhere, and a sweep in mid-pass now and then.
  let revision = log.revision;
  const amid = () => {
    const cursor = log.join();
    return timed(keys, () => {
      for (let i = 0; i < keys; i++) {
        if (cursor.next() !== undefined) consumed++;
        log.put(names[(i * 17) % keys], bytes[i & 1], ++revision, revision);
        log.settle(revision);
      }
    });
  };
  report("100,000 keys one by one amid updates, a key and an update", measure(amid), batch);
}

{
  const count = 1_000_000;
  const keys = 1_000;
  const { log, names } = filled(keys);
  let revision = log.revision;
  const following = (each) => {
    const cursor = log.join();
    return timed(count, () => {
      for (let i = 0; i < count; i++) {
        log.put(names[(i * 7) % keys], bytes[i & 1], ++revision, 1);
        log.settle(revision);
        if (i % each !== 0) continue;
        if (each === 1) consumed += cursor.next()?.revision & 1;
        else consumed += cursor.batch().length;
      }
    });
  };
  const every = report(
    "1,000,000 updates over 1,000 keys, each read at once, an update",
    measure(() => following(1)),
  );
  report(
    "1,000,000 updates over 1,000 keys, a batch each 100, an update",
    measure(() => following(100)),
    every,
  );
}

{
  const keys = 300_000;
  const stored = Array.from({ length: keys }, (_, i) => {
    const revision = 1 + ((i * 7919) % keys);
    return { key: `service/instance-${i}`, bytes: bytes[0], revision, createRevision: revision };
  });
  const first = () => {
    const log = new ConflatingLog();
    return timed(keys, () => log.merge(stored, keys, { rewound: false }));
  };
  report("first merge of 300,000 keys, a key", measure(first));
  const packed = stored.map(({ bytes, ...rest }) => ({ ...rest, packed: String.fromCharCode(...bytes) }));
  /** As a feed merges: by pages, then in steps, of which the longest is told. */
  const inSteps = (into) => {
    const merge = into.beginMerge({ rewound: false });
    for (let i = 0; i < keys; i += 10_000) merge.add(packed.slice(i, i + 10_000));
    const steps = merge.commit(keys);
    let longest = 0;
    for (let done = false; !done;) {
      const start = performance.now();
      done = steps.next().done;
      longest = Math.max(longest, performance.now() - start);
    }
    consumed += into.size;
    return longest * 1e6;
  };
  report(
    "the same by pages of 10,000, the longest step in all",
    measure(() => inSteps(new ConflatingLog())),
  );
  report(
    "the same by pages of 10,000, a key",
    measure(() => timed(keys, () => inSteps(new ConflatingLog()))),
  );
  const log = new ConflatingLog();
  log.merge(stored, keys, { rewound: false });
  report(
    "merge of 300,000 unchanged keys, a key",
    measure(() => timed(keys, () => log.merge(stored, keys, { rewound: false }))),
  );
}

console.log(`\n(${consumed} read)`);
