/**
 * The feed of a range against a store that is all in memory, where every request, answer and event comes when a
 * scheduler says so: reads that overtake each other and the watch, connections that break, histories that are compacted
 * or replaced at any moment between any two of them.
 */
import { setImmediate as macrotask } from "node:timers/promises";
import fc from "fast-check";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { isEventValueError, text } from "../../src/index.ts";
import { KeyNames } from "../../src/etcd/namespace.ts";
import type { RangeRequest, ResponseHeader } from "../../src/etcd/proto/generated/etcd.ts";
import type { KeyRecord, RangeResult, WatchEvent } from "../../src/etcd/proto/hot-decoders.ts";
import { type FeedContext, RangeFeed } from "../../src/etcd/range-feed.ts";
import { type Method, TransportError } from "../../src/etcd/transport.ts";
import type { WatchHandlers, WatchSpec } from "../../src/etcd/watch-stream.ts";
import type { RangeWatcher } from "../../src/keyspace.ts";
import { ConflatingLog } from "../../src/range/conflating-log.ts";
import { watchRange } from "../../src/range/watchers.ts";
import { received } from "../support/received.ts";
import { seed } from "../support/seed.ts";
import { type Known, Replica } from "../support/replica.ts";

// The scheduler decides how long anything takes.
vi.mock("../../src/internal/backoff.ts", () => ({
  Backoff: class {
    reset(): void {}
    async wait(signal: AbortSignal): Promise<void> {
      await Promise.resolve();
      signal.throwIfAborted();
    }
  },
}));

/** How many changes a step of a merge makes. */
let stepSize: number | undefined;
const { beginMerge } = ConflatingLog.prototype;
ConflatingLog.prototype.beginMerge = function (this: ConflatingLog, options) {
  return beginMerge.call(this, { ...options, stepSize });
};

const keys = ["a", "b", "c"] as const;
type Key = (typeof keys)[number];
const encoder = new TextEncoder();

interface Change {
  readonly revision: number;
  readonly key: string;
  /** Undefined: the key was deleted. */
  readonly value: string | undefined;
  readonly createRevision: number;
}

/** One history of a store, as etcd would have it. */
class History {
  readonly clusterId: string;
  readonly raftTerm: number;
  revision = 1;
  compacted = 0;
  /** The newest revision that a client certainly knows of. */
  told = 0;
  readonly changes: Change[] = [];

  constructor(clusterId: string, raftTerm: number) {
    this.clusterId = clusterId;
    this.raftTerm = raftTerm;
  }

  get header(): ResponseHeader {
    return { clusterId: this.clusterId, memberId: "1", raftTerm: this.raftTerm, revision: this.revision };
  }

  write(key: string, value: string | undefined): void {
    const held = this.at(this.revision).get(key);
    if (value === undefined && held === undefined) return;
    const revision = ++this.revision;
    this.changes.push({
      revision,
      key,
      value,
      createRevision: value === undefined ? 0 : (held?.createRevision ?? revision),
    });
  }

  at(revision: number): Map<string, Known> {
    const state = new Map<string, Known>();
    for (const { key, value, createRevision, revision: written } of this.changes) {
      if (written > revision) break;
      if (value === undefined) state.delete(key);
      else state.set(key, { value, revision: written, createRevision });
    }
    return state;
  }

  /** Answers a range read of all keys from `key` on. */
  range(request: RangeRequest): RangeResult {
    const { revision = 0, limit = 0, minModRevision = 0 } = request;
    if (revision > this.revision) throw refusal("required revision is a future revision");
    if (revision !== 0 && revision < this.compacted) throw refusal("required revision has been compacted");
    const from = Buffer.from(request.key!).toString();
    const end = Buffer.from(request.rangeEnd ?? []).toString();
    const all = [...this.at(revision === 0 ? this.revision : revision)]
      .filter(([key]) => (end === "" ? key === from : key >= from && key < end))
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const newer = all.filter(([, held]) => held.revision >= minModRevision);
    // Listings come in pages of two keys, however many are asked for: anything may happen between them.
    const page = limit === 0 ? newer : newer.slice(0, Math.min(limit, 2));
    return {
      header: this.header,
      kvs: page.map(([key, held]): KeyRecord => record(key, held.value, held.revision, held.createRevision)),
      more: page.length < newer.length,
      count: all.length,
    };
  }
}

function record(key: string, value: string, modRevision: number, createRevision: number): KeyRecord {
  return { key, rawKey: undefined, value: encoder.encode(value), modRevision, createRevision, version: 1, lease: "0" };
}

function refusal(details: string): TransportError {
  return new TransportError("model", 11, `etcdserver: mvcc: ${details}`, true);
}

interface OpenWatch {
  readonly spec: WatchSpec;
  readonly handlers: WatchHandlers;
  /** The history it is of; undefined until the server has got it. */
  history: History | undefined;
  /** What was sent and has not come. */
  readonly sent: (() => void)[];
  /** The newest revision that was sent. */
  upTo: number;
  ended: boolean;
}

/** Decides when what is under way comes to pass. */
interface Schedule {
  schedule(task: Promise<void>, label: string): Promise<void>;
}

/** The store, and what leads to it. */
class Model {
  history = new History("1", 100);
  readonly histories = [this.history];
  /** How often something happened that ends watches. */
  faults = 0;
  /** How many revisions too early the next watch begins: the member had not come as far yet. */
  lag = 0;
  /** What kind of read is answered with the first state of all next, as old servers did once after a long pause. */
  stale: "check" | "list" | undefined;
  /** Whether the next watch is created below the compaction, and lives with a gap (3.4.23). */
  swallows = false;
  watchesBegun = 0;
  readonly #schedule: Schedule;
  readonly #watches = new Set<OpenWatch>();

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
  }

  readonly #attempt = async <T>(
    method: Method<RangeRequest, T>,
    request: RangeRequest,
    { signal }: { signal: AbortSignal },
  ): Promise<T> => {
    const kind = request.minModRevision !== undefined ? "check" : request.limit === undefined ? "probe" : "list";
    const { history } = this;
    const { told } = history;
    await this.#schedule.schedule(Promise.resolve(), `${kind}: read`);
    let answer: RangeResult | undefined;
    let error: unknown;
    try {
      answer = this.history.range(request);
      // Nobody can tell an answer to be stale who was not told of anything newer.
      if (this.stale === kind && this.history === history && told > 1) {
        this.stale = undefined;
        answer = { header: { ...answer.header, revision: 1 }, kvs: [], more: false, count: 0 };
      }
    } catch (refused) {
      error = refused;
    }
    await this.#schedule.schedule(Promise.resolve(), `${kind}: answered`);
    signal.throwIfAborted();
    if (answer === undefined) throw error;
    if (kind === "list") history.told = Math.max(history.told, answer.header.revision);
    return received(method, answer);
  };

  readonly client = {
    authenticates: false,
    expire: (): void => {},
    attempt: this.#attempt,
    read: this.#attempt,
  };

  readonly stream = {
    abandon: (): void => {},
    watch: (spec: WatchSpec, handlers: WatchHandlers): { cancel(): void } => {
      const watch: OpenWatch = { spec, handlers, history: undefined, sent: [], upTo: 0, ended: false };
      this.watchesBegun++;
      this.#watches.add(watch);
      void this.#create(watch);
      return { cancel: () => this.#end(watch) };
    },
  };

  async #create(watch: OpenWatch): Promise<void> {
    await this.#schedule.schedule(Promise.resolve(), "watch: created");
    if (watch.ended) return;
    const { history } = this;
    watch.history = history;
    const { header } = history;
    this.#send(watch, () => watch.handlers.created(header));
    const { swallows } = this;
    this.swallows = false;
    if (watch.spec.startRevision < history.compacted && swallows) {
      watch.upTo = history.revision;
      return;
    }
    if (watch.spec.startRevision < history.compacted) {
      this.#send(watch, () => {
        this.#end(watch);
        watch.handlers.compacted();
      });
      return;
    }
    watch.upTo = watch.spec.startRevision - 1 - this.lag;
    this.lag = 0;
    this.#sendNews(watch);
  }

  /** Sends all that happened since, as one response. */
  #sendNews(watch: OpenWatch): void {
    const { compacted, changes } = watch.history!;
    // A watch that starts exactly at the compaction revision loses a deletion there (3.4.23).
    const lost = watch.upTo < compacted && watch.spec.startRevision === compacted ? compacted : 0;
    const news = changes.filter(
      ({ revision, value }) => revision > watch.upTo && (revision !== lost || value !== undefined),
    );
    watch.upTo = Math.max(watch.upTo, watch.history!.revision);
    if (news.length === 0) return;
    const events = news.map(({ key, value, revision, createRevision }): WatchEvent => ({
      ...record(key, value ?? "", revision, createRevision),
      type: value === undefined ? "delete" : "put",
    }));
    const { history } = watch;
    this.#send(watch, () => {
      history!.told = Math.max(history!.told, news.at(-1)!.revision);
      watch.handlers.events(events);
    });
  }

  /** What is sent comes in order. */
  #send(watch: OpenWatch, deliver: () => void): void {
    watch.sent.push(deliver);
    void this.#schedule.schedule(Promise.resolve(), "watch: told").then(() => {
      const next = watch.sent.shift();
      if (!watch.ended) next?.();
    });
  }

  #end(watch: OpenWatch): void {
    watch.ended = true;
    this.#watches.delete(watch);
  }

  write(key: string, value: string | undefined): void {
    this.history.write(key, value);
    for (const watch of this.#watches) if (watch.history === this.history) this.#sendNews(watch);
  }

  compact(): void {
    this.history.compacted = this.history.revision;
    this.faults++;
  }

  /** The connection of the watches breaks: what was sent is lost. The next member may lag. */
  lose(lag: number): void {
    this.faults++;
    this.lag = lag;
    for (const watch of this.#watches) {
      this.#end(watch);
      void this.#schedule.schedule(Promise.resolve(), "stream: lost").then(() => {
        watch.handlers.lost(new TransportError("model", 14, "connection lost", true));
      });
    }
  }

  /** Another store takes the place of this one, or an old backup of it. What is read meanwhile is of the one or other. */
  replace(restored: boolean): void {
    const before = this.history;
    // A restored store that has overtaken the old one shows itself by its raft term alone, if at all.
    const { clusterId, raftTerm } = before;
    this.history = restored ? new History(clusterId, raftTerm - 1) : new History(`${this.histories.length + 1}`, 100);
    if (restored) {
      for (const { key, value, revision } of before.changes) {
        if (revision > before.revision - 3) break;
        this.history.write(key, value);
      }
    }
    this.histories.push(this.history);
    this.lose(0);
  }
}

/** What a run consists of. Where it says `steps`, so many of what is under way come to pass after it. */
type Action = { readonly steps: number } & (
  | { readonly type: "write"; readonly key: Key; readonly value: string | undefined }
  | { readonly type: "compact" | "stale" | "open" | "join" }
  | { readonly type: "lose"; readonly lag: number }
  | { readonly type: "replace"; readonly restored: boolean }
  | { readonly type: "get" | "getBatch" | "abort" | "close"; readonly watcher: number }
);

const steps = fc.integer({ min: 0, max: 6 });
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant("write" as const),
      key: fc.constantFrom(...keys),
      value: fc.constantFrom("1", "2", undefined),
      steps,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ type: fc.constantFrom("open" as const, "join" as const, "join" as const), steps }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      type: fc.constantFrom(
        "get" as const,
        "getBatch" as const,
        "getBatch" as const,
        "abort" as const,
        "close" as const,
      ),
      watcher: fc.nat({ max: 5 }),
      steps,
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom("compact" as const, "stale" as const), steps }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("lose" as const), lag: fc.nat({ max: 3 }), steps }) },
);
const replacing: fc.Arbitrary<Action> = fc.oneof(
  { weight: 12, arbitrary: action },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("replace" as const), restored: fc.boolean(), steps }) },
);

const enough = "enough";

/** A watcher, and what it was told. */
class Consumer {
  readonly watcher: RangeWatcher<string>;
  readonly replica: Replica;
  readonly #model: Model;
  readonly #problems: unknown[];
  #abort = new AbortController();
  busy = false;
  #begun = false;

  constructor(watcher: RangeWatcher<string>, model: Model, problems: unknown[]) {
    this.watcher = watcher;
    this.#model = model;
    this.#problems = problems;
    this.replica = new Replica(() => model.histories.length - 1);
  }

  ask(type: "get" | "getBatch", options?: { readonly backlogOnly: boolean }): void {
    if (this.busy) return;
    this.busy = true;
    void this.#ask(type, options).catch((error: unknown) => {
      if (error === enough || isEventValueError(error, "EV_BACKLOG_DONE") || isEventValueError(error, "EV_CLOSED"))
        return;
      this.#problems.push(error);
    });
  }

  async #ask(type: "get" | "getBatch", options?: { readonly backlogOnly: boolean }): Promise<void> {
    this.#abort = new AbortController();
    const given = { ...options, signal: this.#abort.signal };
    const { history, histories } = this.#model;
    const asked = history.revision;
    const first = !this.#begun;
    this.#begun = true;
    try {
      if (type === "get") await this.replica.get(this.watcher, given);
      else {
        const { revision } = await this.replica.getBatch(this.watcher, given);
        const states = histories.map((known) => JSON.stringify(sorted(known.at(revision))));
        expect(states, `K4 the state at revision ${revision}`).toContain(JSON.stringify(sorted(this.replica.map)));
        if (first && this.#model.history === history) {
          expect(revision, "K10 a first get is as fresh as a read begun at that call").toBeGreaterThanOrEqual(asked);
        }
      }
    } finally {
      this.busy = false;
    }
  }

  abort(): void {
    this.#abort.abort(enough);
  }
}

/** What replicas can be compared by: spurious updates leave them with older revisions. */
function sorted(state: ReadonlyMap<string, Known>): unknown {
  return [...state]
    .map(([key, { value, createRevision }]) => [key, value, createRevision] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** A feed on the model, and what opens consumers of it. */
function start(model: Model, problems: unknown[]): { readonly feed: RangeFeed; readonly open: () => Consumer } {
  const health = { following: (): void => {}, saw: (): void => {} };
  const context = { client: model.client, stream: model.stream, names: new KeyNames(""), health };
  const range = { key: encoder.encode("a"), rangeEnd: encoder.encode("z") };
  const feed = new RangeFeed(context as unknown as FeedContext, range, () => {});
  const open = (): Consumer => new Consumer(watchRange(feed.entered(), text.decode, undefined), model, problems);
  return { feed, open };
}

async function run(schedule: fc.Scheduler, actions: readonly Action[]): Promise<Model> {
  const model = new Model(schedule);
  const problems: unknown[] = [];
  const { feed, open } = start(model, problems);
  // One that stays, so that the feed does.
  const consumers = [open()];

  const settle = async (atMost: number): Promise<void> => {
    await macrotask();
    for (let i = 0; i < atMost && (schedule.count() > 0 || feed.log.merging); i++) {
      // Each step of a merge takes a turn of the event loop, with or without anything else.
      if (schedule.count() > 0) await schedule.waitOne();
      await macrotask();
    }
  };
  for (const { steps: count, ...act } of actions) {
    const consumer = "watcher" in act ? consumers[act.watcher % consumers.length]! : undefined;
    if (act.type === "write") model.write(act.key, act.value);
    else if (act.type === "compact") model.compact();
    else if (act.type === "lose") model.lose(act.lag);
    else if (act.type === "stale") {
      model.stale = "check";
      model.faults++;
    } else if (act.type === "replace") model.replace(act.restored);
    else if (act.type === "open" || act.type === "join") consumers.push(open());
    else if (act.type === "get" || act.type === "getBatch") consumer!.ask(act.type);
    else if (act.type === "abort") consumer!.abort();
    else if (consumers.length > 1 && consumer !== consumers[0]) {
      consumer!.watcher.close();
      consumers.splice(consumers.indexOf(consumer!), 1);
    }
    if (act.type === "join") consumers.at(-1)!.ask("getBatch");
    await settle(count);
  }
  model.stale = undefined;
  // All is well from now on. Who waits is answered, and who asks has what the store has.
  model.write("end", "1");
  await settle(10_000);
  expect(schedule.count(), "something goes on for ever").toBe(0);
  for (const consumer of [...consumers, open()]) {
    if (consumer.busy) consumer.abort();
    await macrotask();
    for (let passes = 0; !consumer.busy && passes < 10; passes++) {
      consumer.ask(passes % 2 === 0 ? "getBatch" : "get", { backlogOnly: true });
      await settle(10_000);
      expect(consumer.busy, "K10 a first get hangs").toBe(false);
    }
    if (problems.length > 0) throw problems[0];
    expect(sorted(consumer.replica.map), "K5 the last state").toEqual(sorted(model.history.at(model.history.revision)));
    consumer.watcher.close();
  }
  return model;
}

describe(`the feed of a range (seed ${seed})`, () => {
  beforeEach(() => void (stepSize = 1));

  test("K3 to K6, K10: whatever comes when, watchers come to the store's state, and joiners do at once", async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.array(action, { minLength: 5, maxLength: 40 }), async (schedule, actions) => {
        const model = await run(schedule, actions);
        // No answer was taken for what it is not: a watch ends when it was lost or compacted.
        expect(model.watchesBegun).toBeLessThanOrEqual(1 + model.faults);
      }),
      { seed, numRuns: 400 },
    );
  });

  test("K7: the same where the store is replaced or restored", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(replacing, { minLength: 5, maxLength: 40 }),
        async (schedule, actions) => {
          await run(schedule, actions);
        },
      ),
      { seed, numRuns: 400 },
    );
  });

  describe("one step after the other", () => {
    // Merges are no step of these.
    beforeEach(() => void (stepSize = undefined));

    /** Lets what is under way come to pass as a test says. */
    class Manual implements Schedule {
      #tasks: { readonly label: string; readonly pass: () => void }[] = [];

      schedule(_task: Promise<void>, label: string): Promise<void> {
        return new Promise((pass) => this.#tasks.push({ label, pass }));
      }

      /** Each of `labels` in turn: the one of that name that was under way first. */
      async pass(...labels: string[]): Promise<void> {
        for (const label of labels) {
          await macrotask();
          const at = this.#tasks.findIndex((task) => task.label === label);
          const under = this.#tasks.map((task) => task.label).join(", ");
          if (at < 0) throw new Error(`${label} is not under way, but: ${under}`);
          const [task] = this.#tasks.splice(at, 1);
          task!.pass();
          await macrotask();
        }
      }

      /** What is under way and follows from it, one after the other, until `holds` does. */
      async passUntil(holds: () => boolean): Promise<void> {
        while (!holds()) {
          this.#tasks.shift()?.pass();
          // Whatever follows at once, and no turn of the event loop.
          for (let i = 0; i < 50 && !holds(); i++) await Promise.resolve();
          if (this.#tasks.length === 0 && !holds()) await macrotask();
        }
      }

      /** All that is under way and follows from it. */
      async passAll(): Promise<void> {
        for (await macrotask(); this.#tasks.length > 0; await macrotask()) this.#tasks.shift()!.pass();
      }
    }

    /** A feed that follows the store, which holds "a"; with one watcher that has read it. */
    async function following() {
      const schedule = new Manual();
      const model = new Model(schedule);
      const problems: unknown[] = [];
      const { feed, open } = start(model, problems);
      model.write("a", "1");
      const consumer = open();
      consumer.ask("getBatch");
      await schedule.passAll();
      /** Everything passes; then all watchers have what the store has. */
      const expectAllWell = async (...consumers: Consumer[]): Promise<void> => {
        do await schedule.passAll();
        while (feed.log.merging);
        for (const each of consumers) {
          expect(each.busy, "a get hangs").toBe(false);
          each.ask("getBatch", { backlogOnly: true });
          await schedule.passAll();
          if (problems.length > 0) throw problems[0];
          expect(each.replica.map).toEqual(model.history.at(model.history.revision));
        }
      };
      return { schedule, model, feed, open, consumer, expectAllWell };
    }

    test("K5 a listing that a joiner's read has overtaken does not bring back what is gone", async () => {
      const { schedule, model, open, consumer, expectAllWell } = await following();
      model.lose(0);
      model.write("b", "1");
      model.compact();
      await schedule.pass("stream: lost", "probe: read", "probe: answered", "list: read");
      model.write("b", undefined);
      const joiner = open();
      joiner.ask("getBatch");
      await schedule.pass("check: read", "check: answered");
      expect(joiner.busy).toBe(false);
      await expectAllWell(consumer, joiner);
    });

    test("K10 a joiner's read that a probe has overtaken is answered, though nothing ever changes", async () => {
      const { schedule, model, open, consumer, expectAllWell } = await following();
      model.lose(0);
      const joiner = open();
      joiner.ask("getBatch");
      await schedule.pass("stream: lost", "check: read");
      model.write("~ not of the range", "1");
      await schedule.pass("probe: read", "probe: answered", "check: answered");
      await schedule.passAll();
      expect(joiner.busy, "the get hangs").toBe(false);
      expect(model.watchesBegun).toBe(2);
      model.write("~ not of the range", undefined);
      await expectAllWell(consumer, joiner);
    });

    test("K10 who joins in the midst of the merge of a rewind is told what had been written by then", async () => {
      stepSize = 1;
      const { schedule, model, feed, open, consumer, expectAllWell } = await following();
      for (let i = 0; i < 9; i++) model.write(`key ${i}`, "1");
      await schedule.passAll();
      model.replace(true);
      await schedule.passUntil(() => feed.log.merging);
      model.write("b", "1");
      const joiner = open();
      joiner.ask("getBatch");
      await expectAllWell(consumer, joiner);
    });

    test("K7 one stale answer to a joiner's read is no rewind, and the joiner is answered", async () => {
      const { model, open, consumer, expectAllWell } = await following();
      const joiner = open();
      model.stale = "check";
      joiner.ask("getBatch");
      await expectAllWell(consumer, joiner);
    });

    test("K7 one stale listing is no rewind: nobody goes back to it", async () => {
      const { schedule, model, open, consumer, expectAllWell } = await following();
      model.lose(0);
      model.write("b", "1");
      model.compact();
      model.stale = "list";
      consumer.ask("getBatch");
      await schedule.passAll();
      expect(model.stale).toBe(undefined);
      const joiner = open();
      joiner.ask("getBatch");
      await expectAllWell(consumer, joiner);
    });

    test("K5 a compaction that the server does not tell a resumed watch of leaves no gap", async () => {
      const { schedule, model, consumer, expectAllWell } = await following();
      model.lose(0);
      model.write("a", undefined);
      model.write("b", "1");
      model.compact();
      model.swallows = true;
      await schedule.passAll();
      await expectAllWell(consumer);
    });

    test("K5 a watch that would begin exactly at a compaction misses no delete", async () => {
      const { schedule, model, consumer, expectAllWell } = await following();
      model.lose(0);
      await schedule.pass("stream: lost", "probe: read", "probe: answered");
      model.write("a", undefined);
      model.compact();
      await schedule.pass("watch: created");
      await expectAllWell(consumer);
    });

    test("K3 events from before the start of a watch, of a member that lags, are dropped", async () => {
      const { schedule, model, consumer, expectAllWell } = await following();
      model.write("a", "2");
      model.write("b", "1");
      model.write("b", undefined);
      await schedule.passAll();
      consumer.ask("getBatch");
      await schedule.passAll();
      model.lose(3);
      await schedule.passAll();
      expect(model.lag).toBe(0);
      await expectAllWell(consumer);
    });

    test("K7 a read that was answered by the store before it was replaced says nothing about the new one", async () => {
      const { schedule, model, open, consumer, expectAllWell } = await following();
      model.write("c", "1");
      const joiner = open();
      joiner.ask("getBatch");
      await schedule.pass("check: read");
      model.replace(false);
      model.write("b", "1");
      await schedule.pass("stream: lost", "probe: read", "probe: answered", "probe: read", "probe: answered");
      await schedule.pass("list: read", "list: answered", "check: answered");
      await expectAllWell(consumer, joiner);
    });
  });
});
