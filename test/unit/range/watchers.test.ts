import { setImmediate as macrotask } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { type Decode, isEventValueError, text } from "../../../src/index.ts";
import { WaitList } from "../../../src/internal/pull-watcher.ts";
import { ConflatingLog } from "../../../src/range/conflating-log.ts";
import type { Feed } from "../../../src/range/feed.ts";
import { watchRange } from "../../../src/range/watchers.ts";
import { rejection } from "../../support/promises.ts";

const encoder = new TextEncoder();
const keys = 10_000;

/** A feed whose log holds that many keys, at revisions from 1 on. */
function filledFeed(count: number = keys): Feed {
  const log = new ConflatingLog();
  for (let i = 1; i <= count; i++) log.put(`k${i}`, encoder.encode(`${i}`), i, i);
  log.settle(count);
  const counts = { freshTo: 1, readers: 0, patienceMs: 0 };
  return { log, waiting: new WaitList(), ended: false, ...counts, demand: () => 1, asked() {}, released() {} };
}

/** Decodes text, and counts how much of it in each turn of the event loop. */
function countingDecode(): { decode: Decode<string>; turns: number[] } {
  const turns: number[] = [];
  let turning = true;
  const decode: Decode<string> = (bytes, key) => {
    if (turning) {
      turns.push(0);
      turning = false;
      setImmediate(() => (turning = true));
    }
    turns[turns.length - 1]!++;
    return text.decode(bytes, key);
  };
  return { decode, turns };
}

describe("a batch of thousands of values", () => {
  test("is decoded some at a time, and lets others have the event loop", async () => {
    const feed = filledFeed();
    const { decode, turns } = countingDecode();
    using watcher = watchRange(feed, decode, undefined);
    const { type, revision, changes } = await watcher.getBatch({ backlogOnly: true });
    expect([type, revision, changes.length]).toEqual(["snapshot", keys, keys]);
    expect(changes.map(({ key }) => key)).toEqual(Array.from({ length: keys }, (_, i) => `k${i + 1}`));
    expect(turns.length).toBeGreaterThan(2);
    expect(Math.max(...turns)).toBeLessThan(keys / 2);
  });

  test("holds what is written while it is decoded, each key once", async () => {
    const feed = filledFeed();
    const { log } = feed;
    using watcher = watchRange(feed, text.decode, undefined);
    const batch = watcher.getBatch();
    log.put("k1", encoder.encode("new"), keys + 1, 1);
    log.delete("k2", keys + 2);
    log.settle(keys + 2);
    await macrotask();
    log.put("k3", encoder.encode("new"), keys + 3, 3);
    log.put("k-new", encoder.encode("new"), keys + 3, keys + 3);
    log.settle(keys + 3);
    const { revision, changes } = await batch;
    expect([revision, changes.length, new Set(changes.map(({ key }) => key)).size]).toEqual([keys + 3, keys, keys]);
    expect(changes.slice(-3).map((change) => [change.key, change.type === "put" && change.value])).toEqual([
      ["k1", "new"],
      ["k3", "new"],
      ["k-new", "new"],
    ]);
    expect(await rejection(watcher.getBatch({ backlogOnly: true }))).toMatchObject({ code: "EV_BACKLOG_DONE" });
  });

  test("is all there for the next get where the get that waits for it is aborted", async () => {
    using watcher = watchRange(filledFeed(), text.decode, undefined);
    const stop = new AbortController();
    const aborted = rejection(watcher.getBatch({ signal: stop.signal }));
    stop.abort("enough");
    expect(await aborted).toBe("enough");
    expect(await watcher.get()).toMatchObject({ key: "k1", value: "1" });
    expect((await watcher.getBatch()).changes).toHaveLength(keys - 1);
  });

  test("is made by one at a time of those that join at once, and by another when that gives up", async () => {
    const feed = filledFeed();
    const { log } = feed;
    using impatient = watchRange(feed, text.decode, undefined);
    using closing = watchRange(feed, text.decode, undefined);
    using staying = watchRange(feed, text.decode, undefined);
    const stop = new AbortController();
    const aborted = rejection(impatient.getBatch({ signal: stop.signal }));
    const { making } = log;
    expect(making).toBeDefined();
    const batch = staying.getBatch();
    expect(log.making).toBe(making);
    stop.abort();
    await aborted;
    await batch;
    expect(log.making).toBeUndefined();
    const closed = rejection(closing.getBatch());
    expect(log.making).toBeDefined();
    closing.close();
    await closed;
    await macrotask();
    expect(log.making).toBeUndefined();
    // Nothing was taken by who gave up.
    expect((await impatient.getBatch()).changes).toEqual((await batch).changes);
  });

  test("is none where so many slots hold nothing that is owed", async () => {
    const feed = filledFeed();
    const { log, waiting } = feed;
    using watcher = watchRange(feed, text.decode, undefined);
    await watcher.getBatch();
    using waiter = watchRange(feed, text.decode, undefined);
    await waiter.getBatch();
    const news = waiter.getBatch();
    // Each key is written as it is.
    for (let i = 1; i <= keys; i++) log.put(`k${i}`, encoder.encode(`${i}`), keys + i, i);
    log.settle(2 * keys);
    waiting.wake();
    expect(await rejection(watcher.getBatch({ backlogOnly: true }))).toMatchObject({ code: "EV_BACKLOG_DONE" });
    log.put("k7", encoder.encode("new"), 3 * keys, 7);
    log.settle(3 * keys);
    waiting.wake();
    expect(await news).toMatchObject({ revision: 3 * keys, changes: [{ key: "k7", value: "new" }] });
  });

  const sizes: [string, number][] = [
    ["hundreds", 300],
    ["thousands", keys],
  ];
  describe.each(sizes)("whose decoder does what it likes, of %s", (_, size) => {
    /** A feed with that many keys, of which `gone` others were deleted that one watcher only had been told of. */
    function swept(gone: number): { feed: Feed; told: ReturnType<typeof watchRange<string>> } {
      const feed = filledFeed(size + gone);
      const told = watchRange(feed, text.decode, undefined);
      return { feed, told };
    }

    test.each([0, Math.floor(size / 2)])(
      "holds all changes where that closes another watcher, at value %i",
      async (at) => {
        const gone = 2 * size;
        const { feed, told } = swept(gone);
        await told.getBatch();
        // Their deletions are kept for that one; and the others are to be decoded again.
        let revision = size + gone;
        for (let i = 1; i <= gone; i++) feed.log.delete(`k${i}`, ++revision);
        for (let i = 1; i <= size; i++) feed.log.put(`k${gone + i}`, encoder.encode("new"), ++revision, gone + i);
        feed.log.settle(revision);
        let decodedSoFar = 0;
        const decode: Decode<string> = (bytes) => {
          if (decodedSoFar++ === at) told.close();
          return text.decode(bytes, "");
        };
        const { sweeps } = feed.log;
        using watcher = watchRange(feed, decode, undefined);
        const { changes } = await watcher.getBatch();
        expect(feed.log.sweeps).toBeGreaterThan(sweeps);
        expect(changes.map(({ key }) => key)).toEqual(Array.from({ length: size }, (_, i) => `k${gone + 1 + i}`));
        expect(feed.log.making).toBeUndefined();
      },
    );

    test("is not delivered where that closes its own watcher", async () => {
      const { feed } = swept(size);
      const decode: Decode<string> = (bytes) => {
        watcher.close();
        return text.decode(bytes, "");
      };
      const watcher = watchRange(feed, decode, undefined);
      expect(await rejection(watcher.getBatch())).toMatchObject({ code: "EV_CLOSED" });
      expect(feed.log.making).toBeUndefined();
    });

    test("tells of values for which it throws what is no text", async () => {
      const { feed } = swept(size);
      const decode: Decode<string> = () => {
        throw Object.create(null);
      };
      using watcher = watchRange(feed, decode, undefined);
      const { changes } = await watcher.getBatch();
      expect(changes).toHaveLength(2 * size);
      expect(changes[0]).toMatchObject({ type: "invalid", key: "k1", error: { code: "EV_DECODE" } });
    });
  });

  test("is given up with the watcher", async () => {
    const watcher = watchRange(filledFeed(), text.decode, undefined);
    const closed = rejection(watcher.getBatch());
    watcher.close();
    expect(isEventValueError(await closed, "EV_CLOSED")).toBe(true);
    await macrotask();
  });
});

test("nothing is delivered in the midst of a merge", async () => {
  const feed = filledFeed();
  const { log, waiting } = feed;
  using batches = watchRange(feed, text.decode, undefined);
  await batches.getBatch();
  using singles = watchRange(feed, text.decode, undefined);
  await singles.get();
  const merge = log.beginMerge({ rewound: false, stepSize: 1 });
  merge.add([1, 2, 3].map((i) => ConflatingLog.listed(`k${i}`, "merged", keys + i, i)));
  const steps = merge.commit(keys + 9);
  steps.next();
  const told: string[] = [];
  const batch = batches.getBatch({ backlogOnly: true }).then(({ revision, changes }) => {
    told.push("batch");
    return [revision, changes.length];
  });
  const single = singles.get().then(({ key }) => {
    told.push("single");
    return key;
  });
  waiting.wake();
  await macrotask();
  expect(told).toEqual([]);
  while (steps.next().done !== true);
  waiting.wake();
  // Three that changed, and all others vanished.
  expect(await batch).toEqual([keys + 9, keys]);
  expect(await single).toBe("k1");
});
