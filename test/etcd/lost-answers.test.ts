/**
 * Writes whose answer is lost, or whose request is, which nobody can tell apart. In each test it is known which of the
 * two it was: what the middleman has lost the server has carried out.
 */
import { describe, expect, test, vi } from "vitest";
import { ifRevision, isEventValueError, json, put, remove, text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { range, txn } from "../../src/etcd/proto/methods.ts";
import type { KeyValue } from "../../src/keyspace.ts";
import { etcdAvailable } from "../support/etcd.ts";
import {
  keepSilent,
  loseAnswer,
  type Middleman,
  startMiddleman,
  swallow,
  type Treatment,
} from "../support/middleman.ts";
import { codeOf, observe, rejection } from "../support/promises.ts";
import { Random, seed } from "../support/seed.ts";
import { freshPrefix, raw, useEtcd } from "./store.ts";

/** What a write rejects with that may have been carried out. */
const unclear = { code: "EV_UNAVAILABLE", maybeApplied: true, cause: expect.any(Error) };

describe.skipIf(!etcdAvailable)("a write to etcd whose answer is lost", () => {
  const server = useEtcd();

  /** A keyspace whose calls go through a middleman, and what its tests need. */
  async function setUp(options: object = {}): Promise<SetUp> {
    const middleman = await startMiddleman(server.etcd.port);
    const prefix = freshPrefix();
    const keyspace = new EtcdKeyspace({ endpoints: middleman.endpoint, namespace: prefix, ...options });
    return {
      middleman,
      keyspace,
      value: keyspace.value("key", text),
      others: (value, lease) => server.store.put(`${prefix}key`, value, lease),
      held: async (key = "key") => {
        const { kvs } = await server.store.call(range, { key: raw(prefix + key) });
        const [found] = kvs;
        if (found === undefined) return undefined;
        return { value: new TextDecoder().decode(found.value), revision: found.modRevision, writes: found.version };
      },
      removed: () => server.store.delete(`${prefix}key`),
      async [Symbol.asyncDispose]() {
        await keyspace.close();
        await middleman[Symbol.asyncDispose]();
      },
    };
  }

  interface SetUp extends AsyncDisposable {
    readonly middleman: Middleman;
    readonly keyspace: EtcdKeyspace;
    readonly value: KeyValue<string>;
    /** Somebody else writes the key. */
    others(value: string, lease?: string): Promise<number>;
    /** Somebody else deletes it. */
    removed(): Promise<number>;
    /** What the store holds, and how often that was written since it was created. */
    held(key?: string): Promise<{ value: string; revision: number; writes: number } | undefined>;
  }

  /** Does something after the request was swallowed, and before the client knows. */
  function swallowThen(then: () => Promise<unknown>): Treatment {
    return async (call) => {
      await then();
      call.cut();
    };
  }

  /** Does something after the server has carried out the request, and before the client knows that its answer is lost. */
  function loseThen(then: () => Promise<unknown>): Treatment {
    return async (call) => {
      await call.forward();
      await then();
      call.cut();
    };
  }

  describe("without a condition", () => {
    const writes: [string, string, (setUp: SetUp) => Promise<unknown>, string | undefined][] = [
      ["a set", "KV/Put", ({ value }) => value.set("2"), "2"],
      ["a delete", "KV/DeleteRange", ({ value }) => value.delete(), undefined],
      [
        "a transaction",
        "KV/Txn",
        ({ value, keyspace }) => keyspace.transaction([put(value, "2"), remove(keyspace.value("other", text))]),
        "2",
      ],
    ];

    test.each(writes)(
      "%s: EV_UNAVAILABLE with maybeApplied, and it is made once",
      async (_title, method, write, made) => {
        await using setup = await setUp();
        const { middleman, value, held } = setup;
        await value.set("1");
        const { revision } = (await held())!;
        middleman.next(method, loseAnswer);
        expect(await rejection(write(setup))).toMatchObject(unclear);
        expect(middleman).toMatchObject({ lost: 1, swallowed: 0 });
        expect(await held()).toEqual(
          made === undefined ? undefined : { value: made, revision: revision + 1, writes: 2 },
        );
        expect(await server.store.revision()).toBe(revision + 1);
      },
    );

    test.each(writes)("%s whose request is lost: the same, and it is not made", async (_title, method, write) => {
      await using setup = await setUp();
      const { middleman, value, held } = setup;
      const { revision } = await value.set("1");
      middleman.next(method, swallow);
      expect(await rejection(write(setup))).toMatchObject(unclear);
      expect(middleman).toMatchObject({ lost: 0, swallowed: 1 });
      expect(await held()).toEqual({ value: "1", revision, writes: 1 });
      expect(await server.store.revision()).toBe(revision);
    });
  });

  describe("with ifRevision", () => {
    test("whose request is lost: it is sent again, and made once", async () => {
      await using setup = await setUp();
      const { middleman, value, held } = setup;
      const { revision } = await value.set("1");
      middleman.next("KV/Txn", swallow, swallow);
      const set = await value.set("2", { ifRevision: revision });
      expect(middleman).toMatchObject({ lost: 0, swallowed: 2 });
      expect(middleman.calls("KV/Txn")).toBe(3);
      expect(await held()).toEqual({ value: "2", revision: set.revision, writes: 2 });
      expect(set.revision).toBe(revision + 1);
      middleman.next("KV/Txn", swallow);
      expect(await value.delete({ ifRevision: set.revision })).toEqual({ revision: revision + 2, deleted: true });
      expect(middleman.swallowed).toBe(3);
    });

    test("that is sent again and again waits in between", async () => {
      await using setup = await setUp();
      const { middleman, value } = setup;
      const { revision } = await value.set("1");
      const times: number[] = [];
      const note: Treatment = (call) => {
        times.push(performance.now());
        call.cut();
      };
      middleman.next("KV/Txn", note, note, note, note);
      await value.set("2", { ifRevision: revision });
      // 50, 100 and 200 ms, less up to half of it for jitter.
      expect(times.at(-1)! - times[0]!).toBeGreaterThan(170);
    });

    test("without a lease: looking cannot tell who wrote just the same, so EV_UNAVAILABLE", async () => {
      for (const treatment of ["lost", "swallowed"] as const) {
        await using setup = await setUp();
        const { middleman, value, held, others } = setup;
        const { revision } = await value.set("1");
        middleman.next("KV/Txn", treatment === "lost" ? loseAnswer : swallowThen(() => others("2")));
        expect(await rejection(value.set("2", { ifRevision: revision }))).toMatchObject({ ...unclear, key: "key" });
        expect(middleman[treatment]).toBe(1);
        expect(await held()).toEqual({ value: "2", revision: revision + 1, writes: 2 });
      }
    });

    test("with a lease: it resolves with the revision of the write", async () => {
      await using setup = await setUp();
      const { middleman, value, keyspace, held } = setup;
      await using lease = await keyspace.lease({ ttlMs: 60_000 });
      const { revision } = await value.set("1");
      middleman.next("KV/Txn", loseAnswer);
      expect(await value.set("2", { ifRevision: revision, lease })).toEqual({ revision: revision + 1 });
      expect(middleman).toMatchObject({ lost: 1, swallowed: 0 });
      expect(await held()).toEqual({ value: "2", revision: revision + 1, writes: 2 });
    });

    test("where somebody else was first: EV_CONFLICT with the current revision", async () => {
      await using setup = await setUp();
      const { middleman, value, others, removed, keyspace } = setup;
      await using lease = await keyspace.lease({ ttlMs: 60_000 });
      const another = await server.store.grant(60);
      const cases: [string, boolean, () => Promise<unknown>][] = [
        ["something else", false, () => others("3")],
        ["something else", true, () => others("3")],
        ["the same, with no lease", true, () => others("2")],
        ["the same, with another lease", true, () => others("2", another)],
        ["the same, with a lease", false, () => others("2", another)],
        ["nothing any more", true, () => removed()],
        ["something else, and then the same", false, () => others("3").then(() => others("2"))],
        ["something else, and then the same with the lease", true, () => others("3").then(() => others("2", lease.id))],
      ];
      for (const [what, leased, happens] of cases) {
        const { revision } = await value.set("1");
        middleman.next("KV/Txn", swallowThen(happens));
        const error = await rejection(value.set("2", { ifRevision: revision, ...(leased && { lease }) }));
        const currentRevision = (await setup.held())?.revision ?? 0;
        expect(error, what).toMatchObject({ code: "EV_CONFLICT", key: "key", currentRevision });
      }
      expect(middleman).toMatchObject({ lost: 0, swallowed: cases.length });
    });

    test.each([1, 2, 3, 6, 7, 20])(
      "and that others wrote over %i times since is found in the history",
      async (times) => {
        await using setup = await setUp();
        const { middleman, value, others, keyspace } = setup;
        await using lease = await keyspace.lease({ ttlMs: 60_000 });
        const { revision } = await value.set("1");
        const over = async (): Promise<void> => {
          for (let i = 0; i < times; i++) await others(`${i % 3}`);
        };
        middleman.next("KV/Txn", loseThen(over));
        expect(await value.set("2", { ifRevision: revision, lease })).toEqual({ revision: revision + 1 });
        expect((await setup.held())!.revision).toBe(revision + 1 + times);

        const next = await value.set("1");
        middleman.next(
          "KV/Txn",
          loseThen(() => over().then(setup.removed)),
        );
        expect(await value.set("2", { ifRevision: next.revision, lease })).toEqual({ revision: next.revision + 1 });
        expect(await setup.held()).toBe(undefined);
        expect(middleman).toMatchObject({ lost: 2, swallowed: 0 });
      },
    );

    test("and whose history is compacted: EV_UNAVAILABLE", async () => {
      await using setup = await setUp();
      const { middleman, value, others, keyspace } = setup;
      await using lease = await keyspace.lease({ ttlMs: 60_000 });
      const { revision } = await value.set("1");
      middleman.next(
        "KV/Txn",
        loseThen(async () => {
          for (let i = 0; i < 5; i++) await others(`${i}`);
          await server.store.compact();
        }),
      );
      expect(await rejection(value.set("2", { ifRevision: revision, lease }))).toMatchObject(unclear);
      expect(middleman.lost).toBe(1);
    });

    test("a delete: EV_UNAVAILABLE, or EV_CONFLICT where somebody else has written", async () => {
      await using setup = await setUp();
      const { middleman, value, others } = setup;
      const { revision } = await value.set("1");
      middleman.next("KV/Txn", loseAnswer);
      expect(await rejection(value.delete({ ifRevision: revision }))).toMatchObject(unclear);
      expect(await setup.held()).toBe(undefined);
      const again = await value.set("1");
      let theirs = 0;
      middleman.next(
        "KV/Txn",
        swallowThen(async () => (theirs = await others("1"))),
      );
      expect(await rejection(value.delete({ ifRevision: again.revision }))).toMatchObject({
        code: "EV_CONFLICT",
        currentRevision: theirs,
      });
      expect(middleman).toMatchObject({ lost: 1, swallowed: 1 });
    });
  });

  describe("with ifRevision 0", () => {
    test("and a lease: it resolves with the revision of the write, also where others wrote over it", async () => {
      for (const over of [0, 1, 5]) {
        await using setup = await setUp();
        const { middleman, value, others, keyspace } = setup;
        await using lease = await keyspace.lease({ ttlMs: 60_000 });
        const before = await server.store.revision();
        middleman.next(
          "KV/Txn",
          loseThen(async () => {
            for (let i = 0; i < over; i++) await others(`${i}`);
          }),
        );
        expect(await value.set("1", { ifRevision: 0, lease })).toEqual({ revision: before + 1 });
        expect(middleman.lost).toBe(1);
      }
    });

    test("where looking does not tell: EV_UNAVAILABLE, and it is not sent again", async () => {
      type Case = [string, boolean, (setUp: SetUp) => Treatment];
      const cases: Case[] = [
        ["made, without a lease", false, () => loseAnswer],
        ["not made, without a lease", false, () => swallow],
        // It may have been there and gone, since nobody has to be absent only once.
        ["not made, with a lease", true, () => swallow],
        ["made and deleted", true, ({ removed }) => loseThen(removed)],
        ["not made, but by others", true, ({ others }) => swallowThen(() => others("1"))],
        [
          "made, deleted and made by others",
          true,
          ({ removed, others }) => loseThen(() => removed().then(() => others("1"))),
        ],
      ];
      for (const [what, leased, treatment] of cases) {
        await using setup = await setUp();
        const { middleman, value, keyspace } = setup;
        await using lease = await keyspace.lease({ ttlMs: 60_000 });
        middleman.next("KV/Txn", treatment(setup));
        const error = await rejection(value.set("1", { ifRevision: 0, ...(leased && { lease }) }));
        expect(error, what).toMatchObject(unclear);
        expect(middleman.lost + middleman.swallowed).toBe(1);
        expect(middleman.calls("KV/Txn"), what).toBe(1);
      }
    });

    test("with a lease and the value that the key was given before: not taken for the one from before", async () => {
      await using setup = await setUp();
      const { middleman, value, keyspace, held } = setup;
      await using lease = await keyspace.lease({ ttlMs: 60_000 });
      // Two parts of a program want the same lock, in the name of the same program.
      const { revision } = await value.set("me", { ifRevision: 0, lease });
      middleman.next("KV/Txn", swallow);
      expect(await rejection(value.set("me", { ifRevision: 0, lease }))).toMatchObject(unclear);
      expect(await held()).toEqual({ value: "me", revision, writes: 1 });
      expect(middleman.swallowed).toBe(1);
    });

    test("of two at once with the same lease and value: they take turns, and one has it", async () => {
      await using setup = await setUp();
      const { middleman, value, keyspace, held } = setup;
      await using lease = await keyspace.lease({ ttlMs: 60_000 });
      middleman.next("KV/Txn", loseAnswer);
      const [first, second] = await Promise.allSettled([1, 2].map(() => value.set("me", { ifRevision: 0, lease })));
      const { revision, ...rest } = (await held())!;
      expect(rest).toEqual({ value: "me", writes: 1 });
      expect(first).toEqual({ status: "fulfilled", value: { revision } });
      expect(second).toMatchObject({ status: "rejected", reason: { code: "EV_CONFLICT", currentRevision: revision } });
      expect(middleman).toMatchObject({ lost: 1, swallowed: 0 });
    });
  });

  describe("update", () => {
    test("that would not change what is there resolves; one that counts is not made twice", async () => {
      await using setup = await setUp();
      const { middleman, value, keyspace, held } = setup;
      const { revision } = await value.set("1");
      middleman.next("KV/Txn", loseAnswer);
      expect(await value.update(() => "2")).toEqual({ revision: revision + 1 });
      const counter = keyspace.value("n", json<number>(), { default: 0 });
      await counter.set(5);
      middleman.next("KV/Txn", loseAnswer);
      expect(await rejection(counter.update((n) => n + 1))).toMatchObject({ ...unclear, key: "n" });
      expect(await held("n")).toMatchObject({ value: "6", writes: 2 });
      expect(middleman).toMatchObject({ lost: 2, swallowed: 0 });
    });

    test("of a key that is absent: likewise", async () => {
      await using setup = await setUp();
      const { middleman, value, keyspace, held } = setup;
      middleman.next("KV/Txn", loseAnswer);
      const { revision } = await value.update(() => "2");
      expect(await held()).toEqual({ value: "2", revision, writes: 1 });
      const counter = keyspace.value("n", json<number>(), { default: 0 });
      middleman.next("KV/Txn", loseAnswer);
      expect(await codeOf(counter.update((n) => n + 1))).toBe("EV_UNAVAILABLE");
      expect(await held("n")).toMatchObject({ value: "1", writes: 1 });
      expect(middleman).toMatchObject({ lost: 2, swallowed: 0 });
    });

    test("whose request is lost is sent again, and computed again where others have written", async () => {
      await using setup = await setUp();
      const { middleman, keyspace, held } = setup;
      const counter = keyspace.value("key", json<number>(), { default: 0 });
      await counter.set(5);
      middleman.next("KV/Txn", swallow);
      await counter.update((n) => n + 1);
      expect(await held()).toMatchObject({ value: "6", writes: 2 });
      middleman.next(
        "KV/Txn",
        swallowThen(() => setup.others("40")),
      );
      await counter.update((n) => n + 1);
      expect(await held()).toMatchObject({ value: "41", writes: 4 });
      // Somebody else has counted, too: it cannot be told who.
      middleman.next(
        "KV/Txn",
        swallowThen(() => setup.others("42")),
      );
      expect(await rejection(counter.update((n) => n + 1))).toMatchObject(unclear);
      expect(middleman).toMatchObject({ lost: 0, swallowed: 3 });
    });

    test("with a lease counts once, and knows it", async () => {
      await using setup = await setUp();
      const { middleman, keyspace, held } = setup;
      await using lease = await keyspace.lease({ ttlMs: 60_000 });
      const counter = keyspace.value("key", json<number>(), { default: 0 });
      for (let i = 1; i <= 5; i++) {
        middleman.next("KV/Txn", loseAnswer);
        const { revision } = await counter.update((n) => n + 1, { lease });
        expect(await held()).toEqual({ value: `${i}`, revision, writes: i });
      }
      expect(middleman.lost).toBe(5);
    });
  });

  describe("and that is carried out late, after it was sent again,", () => {
    /** The first request is held, unanswered, until the second has come, and is handed on before it. */
    function overtake(middleman: Middleman): void {
      let first!: () => Promise<unknown>;
      middleman.next(
        "KV/Txn",
        (call) => {
          first = () => call.forward();
        },
        async (call) => {
          await first();
          await call.forward();
          call.answer();
        },
      );
    }
    const options = { requestTimeoutMs: 300 };

    test("is not in conflict with itself: an update that counts is not made twice", async () => {
      await using setup = await setUp(options);
      const { middleman, keyspace, held } = setup;
      const counter = keyspace.value("key", json<number>(), { default: 0 });
      await counter.set(5);
      overtake(middleman);
      expect(await rejection(counter.update((n) => n + 1))).toMatchObject(unclear);
      expect(middleman.calls("KV/Txn")).toBe(2);
      expect(await held()).toMatchObject({ value: "6", writes: 2 });
    });

    test("is not in conflict with itself: a set is not told that somebody else was first", async () => {
      await using setup = await setUp(options);
      const { middleman, value, keyspace, held } = setup;
      const { revision } = await value.set("1");
      overtake(middleman);
      expect(await rejection(value.set("2", { ifRevision: revision }))).toMatchObject(unclear);
      expect(await held()).toEqual({ value: "2", revision: revision + 1, writes: 2 });
      await using lease = await keyspace.lease({ ttlMs: 60_000 });
      overtake(middleman);
      const set = await value.set("3", { ifRevision: revision + 1, lease });
      expect(await held()).toEqual({ value: "3", revision: set.revision, writes: 3 });
      expect(middleman.calls("KV/Txn")).toBe(4);
    });
  });

  describe("a transaction", () => {
    test("over several keys is told by the key that tells most", async () => {
      await using setup = await setUp();
      const { middleman, keyspace, held } = setup;
      await using lease = await keyspace.lease({ ttlMs: 60_000 });
      const [a, b, c] = ["a", "b", "c"].map((key) => keyspace.value(key, text)) as [
        KeyValue<string>,
        KeyValue<string>,
        KeyValue<string>,
      ];
      const move = async (bound: boolean): Promise<{ revision: number }> => {
        const { revision } = (await a.read())!;
        const options = bound ? { lease } : {};
        return keyspace.transaction([ifRevision(c, 0), put(b, "b"), put(a, "a", options), ifRevision(a, revision)]);
      };
      const { revision } = await a.set("1");
      middleman.next("KV/Txn", swallow);
      expect(await move(false)).toEqual({ revision: revision + 1 });
      middleman.next("KV/Txn", loseAnswer);
      expect(await move(true)).toEqual({ revision: revision + 2 });
      middleman.next("KV/Txn", loseAnswer);
      expect(await rejection(move(false))).toMatchObject(unclear);
      expect(await held("b")).toEqual({ value: "b", revision: revision + 3, writes: 3 });
      // Sent again, it may have to do with what was absent before.
      middleman.next(
        "KV/Txn",
        swallowThen(async () => c.set("c")),
      );
      expect(await codeOf(move(false))).toBe("EV_UNAVAILABLE");
      expect(middleman).toMatchObject({ lost: 2, swallowed: 2 });
      expect(await held("b")).toMatchObject({ writes: 3 });
    });

    test("whose conditions are of keys that it does not write: EV_UNAVAILABLE", async () => {
      await using setup = await setUp();
      const { middleman, value, keyspace, held } = setup;
      const { revision } = await value.set("1");
      for (const treatment of [loseAnswer, swallow]) {
        middleman.next("KV/Txn", treatment);
        const fenced = [ifRevision(value, revision), put(keyspace.value("other", text), "1")];
        expect(await rejection(keyspace.transaction(fenced))).toMatchObject(unclear);
      }
      expect(middleman).toMatchObject({ lost: 1, swallowed: 1 });
      expect(await held("other")).toMatchObject({ writes: 1 });
    });

    test("that writes nothing is asked again", async () => {
      await using setup = await setUp();
      const { middleman, value, keyspace } = setup;
      const { revision } = await value.set("1");
      middleman.next("KV/Txn", loseAnswer, swallow);
      expect(await keyspace.transaction([ifRevision(value, revision)])).toEqual({ revision });
      middleman.next("KV/Txn", loseAnswer);
      expect(await codeOf(keyspace.transaction([ifRevision(value, revision + 1)]))).toBe("EV_CONFLICT");
      expect(middleman).toMatchObject({ lost: 2, swallowed: 1 });
    });
  });

  describe("and looking at what came of it", () => {
    test.each([
      ["is not answered", keepSilent],
      ["is cut off", swallow],
    ])("%s: gives up after requestTimeoutMs", async (_title, treatment) => {
      const requestTimeoutMs = 400;
      await using setup = await setUp({ requestTimeoutMs });
      const { middleman, value } = setup;
      const { revision } = await value.set("1");
      middleman.treat = () => treatment;
      let began = 0;
      middleman.next("KV/Txn", async (call) => {
        await call.forward();
        began = performance.now();
        call.cut();
      });
      const write = value.set("2", { ifRevision: revision });
      const outcome = observe(write);
      await vi.waitFor(() => expect(outcome().state).toBe("rejected"), { timeout: 1500, interval: 5 });
      expect(await rejection(write)).toMatchObject(unclear);
      const took = performance.now() - began;
      expect(took).toBeGreaterThan(requestTimeoutMs - 50);
      expect(took).toBeLessThan(requestTimeoutMs + 1000);
      expect(middleman.lost).toBe(1);
      expect(middleman.calls("KV/Range")).toBeGreaterThan(0);
    });

    test("is aborted by the write's signal, and by closing the keyspace", async () => {
      await using setup = await setUp();
      const { middleman, value, keyspace } = setup;
      const { revision } = await value.set("1");
      middleman.treat = () => keepSilent;
      middleman.next("KV/Txn", loseAnswer, loseAnswer);
      const controller = new AbortController();
      const aborted = value.set("2", { ifRevision: revision, signal: controller.signal });
      const outcome = observe(aborted);
      await vi.waitFor(() => expect(middleman.calls("KV/Range")).toBe(1));
      expect(outcome()).toEqual({ state: "pending" });
      controller.abort("enough");
      expect(await rejection(aborted)).toBe("enough");
      const closed = codeOf(value.set("3", { ifRevision: revision }));
      await vi.waitFor(() => expect(middleman.calls("KV/Range")).toBe(2));
      await keyspace.close();
      expect(await closed).toBe("EV_CLOSED");
      expect(middleman.lost).toBe(2);
    });
  });

  test(
    `a counter by flaky connections: each of several counts once at most (seed ${seed})`,
    { timeout: 30_000 },
    async () => {
      const prefix = freshPrefix();
      const middlemen: Middleman[] = [];
      const keyspaces: EtcdKeyspace[] = [];
      /** An update: how often it was made, and whether it was said to be. */
      interface Counted {
        made: number;
        said: "made" | "unclear" | undefined;
      }
      const counted: Counted[] = [];
      /** Waits by the store's time. */
      const pause = async (turns: number): Promise<void> => {
        for (let i = 0; i < turns; i++) await server.store.revision();
      };
      try {
        const counting = Array.from({ length: 3 }, async (_unused, i) => {
          const random = new Random(seed + i);
          const middleman = await startMiddleman(server.etcd.port);
          middlemen.push(middleman);
          const keyspace = new EtcdKeyspace({
            endpoints: middleman.endpoint,
            namespace: prefix,
            requestTimeoutMs: 1000,
          });
          keyspaces.push(keyspace);
          let current: Counted;
          middleman.treat = (method) => {
            const [chance, turns] = [random.below(20), random.below(60)];
            const mine = current;
            const note = (answer: Uint8Array | undefined): void => {
              if (method === "KV/Txn" && answer !== undefined && txn.decode(answer).succeeded) mine.made++;
            };
            return async (call) => {
              if (method === "KV/Txn" && chance < 9) {
                // Lost are the answer, or the request; or it comes when the client has long asked what came of it.
                if (chance < 3) note(await call.forward());
                call.cut();
                if (chance < 6) return;
                await pause(turns);
                note(await call.forward());
              } else if (chance === 19) call.cut();
              else {
                note(await call.forward());
                call.answer();
              }
            };
          };
          const counter = keyspace.value("n", json<number>(), { default: 0 });
          for (let n = 0; n < 30; n++) {
            counted.push((current = { made: 0, said: undefined }));
            try {
              await counter.update((count) => count + 1);
              current.said = "made";
            } catch (error) {
              if (!isEventValueError(error, "EV_UNAVAILABLE") || !error.maybeApplied) throw error;
              current.said = "unclear";
            }
            await pause(random.below(30));
          }
        });
        await Promise.all(counting);
        await Promise.all(middlemen.map((middleman) => middleman.settled()));
        const value = Number((await server.store.get(`${prefix}n`))!.value);
        expect(counted.reduce((sum, { made }) => sum + made, 0)).toBe(value);
        expect(counted.filter(({ made, said }) => made > 1 || (said === "made" && made === 0))).toEqual([]);
        // It bit: some of what is unclear was made, and some was sent again.
        expect(counted.filter(({ made, said }) => made === 1 && said === "unclear").length).toBeGreaterThan(0);
        const sent = middlemen.reduce((sum, middleman) => sum + middleman.calls("KV/Txn"), 0);
        expect(sent).toBeGreaterThan(counted.length);
      } finally {
        for (const keyspace of keyspaces) await keyspace.close();
        for (const middleman of middlemen) await middleman[Symbol.asyncDispose]();
      }
    },
  );
});
