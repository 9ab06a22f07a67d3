/** Each checker, against what it must let pass and what it must not: a checker that finds nothing proves nothing. */
import { describe, expect, test } from "vitest";
import { type Held, StoreHistory } from "../proof/history.ts";
import { Judge } from "../proof/judge.ts";
import type { Change, Delivered } from "../proof/recording.ts";
import { checkGrowth, checkWatches, mostGrowth } from "./bounded.ts";
import { checkEnd } from "./clean.ts";
import { checkStale } from "./fresh.ts";

const put = (key: string, value: string, at: number, created: number = at): Change => ({
  type: "put",
  key,
  value,
  at,
  created,
});
const gone = (key: string, at: number): Change => ({ type: "delete", key, at });

/** A store that came to revision 14: two keys of one transaction, a delete, a key created again. */
function known(): StoreHistory {
  const history = new StoreHistory();
  history.begin(10, new Map([["a", { value: "1", created: 10, at: 10 }]]));
  const write = (revision: number, changes: Record<string, Held | undefined>): void => {
    history.append(
      revision,
      Object.entries(changes).map(([key, held]) => ({ key, at: revision, held })),
    );
    history.acknowledge(revision, revision);
  };
  write(11, { a: { value: "2", created: 10 }, b: { value: "1", created: 11 } });
  write(12, { b: undefined });
  write(13, { b: { value: "3", created: 13 } });
  write(14, { a: { value: "2", created: 10 } });
  return history;
}

/** What the judge says of a watcher that was told this. */
function judged(
  deliveries: readonly (Partial<Delivered> & { readonly changes: readonly Change[] })[],
  history: StoreHistory = known(),
  /** What becomes of the store when the watcher is there. */
  then: (history: StoreHistory) => void = () => {},
): readonly string[] {
  const judge = new Judge(history);
  judge.take({ what: "opened", watcher: 1, keyspace: 0, how: "batches", start: "", end: "~" });
  then(history);
  for (const delivered of deliveries) judge.take({ what: "delivered", watcher: 1, asked: 0, ...delivered });
  judge.finish();
  return judge.violations;
}

const snapshot = (revision: number) => ({ type: "snapshot" as const, revision });
const update = (revision: number) => ({ type: "update" as const, revision });
const first = { batch: snapshot(10), changes: [put("a", "1", 10)] };

describe("what is right", () => {
  test.each([
    [
      "batches of one revision each",
      [
        first,
        { batch: update(11), changes: [put("a", "2", 11, 10), put("b", "1", 11)] },
        { batch: update(12), changes: [gone("b", 12)] },
        { batch: update(13), changes: [put("b", "3", 13)] },
      ],
    ],
    ["batches that conflate", [first, { batch: update(13), changes: [put("a", "2", 11, 10), put("b", "3", 13)] }]],
    [
      "an update that is spurious, told to who has not seen the one before",
      [first, { batch: update(14), changes: [put("b", "3", 13), put("a", "2", 14, 10)] }],
    ],
    [
      "single changes",
      [{ changes: [put("a", "1", 10)] }, { changes: [put("b", "1", 11)] }, { changes: [gone("b", 12)] }],
    ],
    [
      "a delete at the revision of a snapshot that found it out",
      [{ changes: [put("b", "1", 11)] }, { changes: [gone("b", 12)] }],
    ],
    ["an empty first snapshot", [{ batch: snapshot(9), changes: [] }]],
  ])("passes: %s", (_title, deliveries) => {
    const history = known();
    expect(judged(deliveries, history)).toEqual([]);
  });
});

describe("what is wrong", () => {
  test.each([
    ["ordered", "a revision before the last one", [{ changes: [put("b", "1", 11)] }, { changes: [put("a", "1", 10)] }]],
    [
      "ordered",
      "a change beyond its batch",
      [{ batch: snapshot(10), changes: [put("a", "1", 10), put("b", "1", 11)] }],
    ],
    ["unique", "a change that is told twice", [{ changes: [put("a", "1", 10)] }, { changes: [put("a", "1", 10)] }]],
    [
      "unique",
      "a key twice in a batch",
      [{ batch: snapshot(12), changes: [put("b", "1", 11), gone("b", 12), put("a", "2", 11, 10)] }],
    ],
    ["atomic", "half a transaction", [{ batch: snapshot(11), changes: [put("a", "2", 11, 10)] }]],
    [
      "atomic",
      "a delete that is forgotten",
      [
        { batch: snapshot(11), changes: [put("a", "2", 11, 10), put("b", "1", 11)] },
        { batch: update(14), changes: [put("a", "2", 14, 10)] },
      ],
    ],
    [
      "atomic",
      "a second snapshot",
      [first, { batch: snapshot(11), changes: [put("a", "2", 11, 10), put("b", "1", 11)] }],
    ],
    ["atomic", "an update without changes", [first, { batch: update(11), changes: [] }]],
    ["no phantom", "a value that nobody wrote", [{ changes: [put("a", "9", 11, 10)] }]],
    ["no phantom", "another time of creation", [{ changes: [put("a", "2", 11, 11)] }]],
    ["no phantom", "a delete of what was never told", [{ changes: [gone("b", 12)] }]],
    ["no phantom", "a delete of what is there", [{ changes: [put("b", "1", 11)] }, { changes: [gone("b", 11)] }]],
    ["no phantom", "what the store has not come to", [{ changes: [put("a", "7", 99)] }]],
    [
      "no time travel",
      "a key as it was before",
      [{ changes: [put("a", "2", 11, 10)] }, { changes: [put("a", "1", 10)] }],
    ],
    [
      "fresh",
      "a first batch older than what was acknowledged",
      [{ batch: snapshot(11), asked: 12.5, changes: [put("a", "2", 11, 10), put("b", "1", 11)] }],
    ],
  ])("is not %s: %s", (guarantee, _title, deliveries) => {
    expect(judged(deliveries).map((violation) => violation.split(":")[0])).toContain(guarantee);
  });

  test("a sum that does not add up is not atomic", () => {
    const history = new StoreHistory();
    history.begin(10, new Map([["account/0", { value: "900/3", created: 10, at: 10 }]]));
    const deliveries = [{ batch: snapshot(10), changes: [put("account/0", "900/3", 10)] }];
    expect(judged(deliveries, history).join()).toContain("all accounts together hold 900 of 1000 at 10");
  });

  test("values that go back are time travel, and such as never were, too", () => {
    for (const [told, wrong] of [
      [[null, "1", "3", null], "b is told to be absent"],
      [["1", null, "1"], "b is told to be 1"],
      [["7"], "b is told to be 7"],
    ] as const) {
      const judge = new Judge(known());
      judge.take({ what: "opened", watcher: 1, keyspace: 0, how: "values", start: "b", end: "b\0", plain: true });
      for (const value of told) judge.take({ what: "told", watcher: 1, value });
      judge.finish();
      expect(judge.violations.join()).toContain(`no time travel: ${wrong}`);
    }
  });

  /** What the judge says of a live map in which this was seen. */
  function passed(passes: readonly { revision: number; values: Record<string, string> }[]): readonly string[] {
    const judge = new Judge(known());
    judge.take({ what: "opened", watcher: 1, keyspace: 0, how: "live", start: "", end: "~" });
    for (const pass of passes) judge.take({ what: "passed", watcher: 1, ...pass });
    judge.finish();
    return judge.violations;
  }

  test("a live map is a state of the store, and the next one is none before", () => {
    const at11 = { revision: 11, values: { a: "2", b: "1" } };
    expect(passed([{ revision: 10, values: { a: "1" } }, at11, { revision: 12, values: { a: "2" } }])).toEqual([]);
    for (const wrong of [
      [{ revision: 11, values: { a: "2" } }],
      [{ revision: 11, values: { a: "1", b: "1" } }],
      [{ revision: 10, values: { a: "1", b: "1" } }],
      [at11, { revision: 10, values: { a: "1" } }],
      [{ revision: 99, values: { a: "7" } }],
    ]) {
      expect(passed(wrong).join(), JSON.stringify(wrong)).toContain("whole: a pass at");
    }
  });

  test("what the library says of its writes is so, and none is made twice", () => {
    const history = known();
    for (const [at, value] of [
      [15, "0.1"],
      [16, "0.1,0.2"],
      [17, "0.2"],
    ] as const) {
      history.append(at, [{ key: "own", at, held: { value: `${value}/9`, created: 15 } }]);
    }
    const said = (name: string, outcome: "made" | "refused" | "unclear", revision?: number): string => {
      const judge = new Judge(history);
      judge.take({ what: "wrote", keyspace: 0, name, keys: ["own"], outcome, ...(revision && { revision }) });
      judge.judgeWrites();
      return judge.violations.join();
    };
    expect(said("0.1", "made", 15) + said("0.1", "unclear") + said("0.3", "unclear") + said("0.3", "refused")).toBe("");
    expect(said("0.1", "made", 16)).toContain("once: write 0.1 of keyspace 0 is said to be made at 16, and was at 15");
    expect(said("0.3", "made", 15)).toContain("and was at none");
    expect(said("0.1", "refused")).toContain("is said to be in conflict, and was made at 15");
    expect(said("0.2", "unclear")).toContain("was made 2 times: own at 16, 17");
  });

  test("a get that fails is told", () => {
    const judge = new Judge(known());
    judge.take({ what: "opened", watcher: 1, keyspace: 0, how: "batches", start: "", end: "~" });
    judge.take({ what: "failed", watcher: 1, message: "EV_UNAVAILABLE" });
    expect(judge.violations).toEqual(["K9: a get of watcher 1 (batches) failed: EV_UNAVAILABLE"]);
  });
});

describe("a store that begins again", () => {
  /** Restored to revision 11, and written otherwise since. */
  function restore(history: StoreHistory): void {
    const b = { value: "1", created: 11, at: 11 };
    history.begin(
      11,
      new Map([
        ["a", { value: "2", created: 10, at: 11 }],
        ["b", b],
      ]),
    );
    history.append(12, [{ key: "b", at: 12, held: { value: "other", created: 11 } }]);
  }
  const before = { batch: snapshot(13), changes: [put("a", "2", 11, 10), put("b", "3", 13)] };

  test.each([
    [
      "one step down, by difference",
      [
        before,
        { batch: update(11), changes: [put("b", "1", 11)] },
        { batch: update(12), changes: [put("b", "other", 12, 11)] },
      ],
    ],
    ["only what came after", [before, { batch: update(12), changes: [put("b", "other", 12, 11)] }]],
  ])("passes: %s", (_title, deliveries) => {
    expect(judged(deliveries, known(), restore)).toEqual([]);
  });

  test.each([
    [
      "ordered",
      "two steps down",
      [
        before,
        { batch: update(11), changes: [put("b", "1", 11)] },
        { batch: update(10), changes: [put("a", "1", 10)] },
      ],
    ],
    ["atomic", "what it had before and has no more", [before, { batch: update(12), changes: [put("a", "2", 11, 10)] }]],
    ["no phantom", "what it wrote in no life", [before, { changes: [put("b", "both", 12, 11)] }]],
  ])("is not %s: %s", (guarantee, _title, deliveries) => {
    expect(judged(deliveries, known(), restore).map((violation) => violation.split(":")[0])).toContain(guarantee);
  });
});

describe("convergent", () => {
  test("is who knows just what there is", () => {
    const history = known();
    const judge = new Judge(history);
    judge.take({ what: "opened", watcher: 1, keyspace: 0, how: "batches", start: "", end: "~" });
    const state = history.state(0, 14);
    expect(judge.behind(state)?.what).toContain("a is missing");
    judge.take({ what: "delivered", watcher: 1, asked: 0, batch: snapshot(12), changes: [put("a", "2", 11, 10)] });
    judge.judge();
    expect(judge.behind(state)?.what).toContain("b is missing");
    judge.take({ what: "delivered", watcher: 1, asked: 0, batch: update(13), changes: [put("b", "3", 13)] });
    judge.judge();
    expect(judge.behind(state)).toBe(undefined);
    expect(judge.behind(new Map())?.what).toContain("is gone");
  });
});

describe("fresh", () => {
  test("is a status that is stale in time", () => {
    checkStale(1000, 3900, 3000);
    expect(() => checkStale(1000, 4100, 3000)).toThrow("said so only after 3100 ms");
    expect(() => checkStale(1000, undefined, 3000)).toThrow("said so not at all");
  });
});

describe("bounded", () => {
  test("is memory that does not grow", () => {
    const mb = 1 << 20;
    checkGrowth([20 * mb, 22 * mb, 40 * mb, 21 * mb, 23 * mb]);
    const growing = Array.from({ length: 9 }, (_, i) => 20 * mb + (i * mostGrowth) / 3);
    expect(() => checkGrowth(growing)).toThrow("memory grew");
  });

  test("is one watch of the server for all that share it", () => {
    checkWatches({ watches: 3, streams: 1 }, { watches: 3, streams: 1 });
    checkWatches({ watches: 5, streams: 3 }, { watches: 3, streams: 1 }, 2);
    expect(() => checkWatches({ watches: 5, streams: 3 }, { watches: 3, streams: 1 }, 1)).toThrow("5 watches");
    expect(() => checkWatches({ watches: 5, streams: 2 }, { watches: 3, streams: 1 }, 9)).toThrow("5 watches");
    expect(() => checkWatches({ watches: 2, streams: 1 }, { watches: 3, streams: 1 }, 9)).toThrow("2 watches");
    expect(() => checkWatches({ watches: 4, streams: 1 }, { watches: 3, streams: 1 })).toThrow(
      "4 watches on 1 streams where 3",
    );
    expect(() => checkWatches({ watches: 3, streams: 2 }, { watches: 3, streams: 1 })).toThrow(
      "3 watches on 2 streams where 3",
    );
  });
});

describe("clean", () => {
  test("is a process that just ends", () => {
    checkEnd({ stderr: "", code: 0 });
    expect(() => checkEnd("late")).toThrow("does not end");
    expect(() => checkEnd({ stderr: "a warning", code: 0 })).toThrow("a warning");
    expect(() => checkEnd({ stderr: "", code: 1 })).toThrow("ended with 1");
  });
});
