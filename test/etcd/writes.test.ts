import { describe, expect, test, vi } from "vitest";
import { bytes, type Codec, isEventValueError, json, text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { codeOf, observe, rejection } from "../support/promises.ts";
import { startProxy } from "../support/proxy.ts";
import { freshPrefix, Store, useEtcd } from "./store.ts";

describe.skipIf(!etcdAvailable)("writing to etcd", () => {
  const server = useEtcd();

  function setUp(options: object = {}): { keyspace: EtcdKeyspace; prefix: string } {
    const namespace = freshPrefix();
    return {
      keyspace: new EtcdKeyspace({ endpoints: server.etcd.endpoint, namespace, ...options }),
      prefix: namespace,
    };
  }

  describe("a key", () => {
    test("set, update and delete are answered with the store's revision of the write", async () => {
      const { keyspace, prefix } = setUp();
      await using _ = keyspace;
      const value = keyspace.value("key", json<number>());
      const set = await value.set(1);
      expect(await server.store.get(`${prefix}key`)).toEqual({
        value: "1",
        revision: set.revision,
        createRevision: set.revision,
      });
      const updated = await value.update((current) => current! + 1);
      expect(await server.store.get(`${prefix}key`)).toEqual({
        value: "2",
        revision: updated.revision,
        createRevision: set.revision,
      });
      const deleted = await value.delete();
      expect(deleted).toEqual({ revision: updated.revision + 1, deleted: true });
      expect(await server.store.get(`${prefix}key`)).toBe(undefined);
      expect(await value.delete()).toEqual({ revision: deleted.revision, deleted: false });
    });

    test("of a range is written as a key of its own", async () => {
      const { keyspace, prefix } = setUp();
      await using _ = keyspace;
      const range = keyspace.range("in/", json<number>());
      const { revision } = await range.set("in/a", 1);
      expect(await server.store.get(`${prefix}in/a`)).toMatchObject({ value: "1", revision });
      await range.update("in/a", (current) => (current ?? 0) + 1);
      await range.update("in/b", (current) => (current ?? 10) + 1);
      expect((await range.read()).changes).toMatchObject([
        { key: "in/a", value: 2 },
        { key: "in/b", value: 11 },
      ]);
      expect(await range.delete("in/a")).toMatchObject({ deleted: true });
      expect(await codeOf(range.set("in/b", 1, { ifRevision: 0 }))).toBe("EV_CONFLICT");
      expect(await codeOf(range.delete("in/b", { ifRevision: revision }))).toBe("EV_CONFLICT");
      for (const key of ["a", "in", "in0", "in/".slice(0, 2)]) {
        expect(() => range.set(key, 1)).toThrow(RangeError);
        expect(() => range.update(key, () => 1)).toThrow(RangeError);
        expect(() => range.delete(key)).toThrow(RangeError);
      }
      expect(await server.store.all(prefix)).toHaveProperty("size", 1);
    });

    test("values of any bytes, up to what the store takes", async () => {
      const { keyspace } = setUp();
      await using _ = keyspace;
      const value = keyspace.value("key", bytes);
      const every = Uint8Array.from({ length: 256 }, (_unused, i) => i);
      await value.set(every);
      expect((await value.read())?.value).toEqual(every);
      await value.set(new Uint8Array(1_500_000));
      expect((await value.read())?.value).toHaveLength(1_500_000);
      expect(await rejection(value.set(new Uint8Array(1_600_000)))).toMatchObject({
        code: "EV_RESOURCE_EXHAUSTED",
        key: "key",
        cause: expect.any(Error),
      });
      expect((await value.read())?.value).toHaveLength(1_500_000);
    });
  });

  describe("on a condition", () => {
    test("ifRevision: the write happens at just that revision, otherwise EV_CONFLICT tells the current one", async () => {
      const { keyspace, prefix } = setUp();
      await using _ = keyspace;
      const value = keyspace.value("key", text);
      const created = await value.set("1", { ifRevision: 0 });
      expect(await rejection(value.set("x", { ifRevision: 0 }))).toMatchObject({
        code: "EV_CONFLICT",
        key: "key",
        currentRevision: created.revision,
      });
      const second = await value.set("2", { ifRevision: created.revision });
      expect(second.revision).toBe(created.revision + 1);
      for (const act of [
        () => value.set("x", { ifRevision: created.revision }),
        () => value.delete({ ifRevision: created.revision }),
        () => value.delete({ ifRevision: 0 }),
        () => value.update(() => "x", { ifRevision: created.revision }),
        () => value.update(() => "x", { ifRevision: second.revision + 5 }),
      ]) {
        expect(await rejection(act())).toMatchObject({ code: "EV_CONFLICT", currentRevision: second.revision });
      }
      expect(await server.store.get(`${prefix}key`)).toMatchObject({ value: "2", revision: second.revision });
      await value.update((current) => `${current}!`, { ifRevision: second.revision });
      expect(await value.read()).toMatchObject({ value: "2!" });
      const { revision } = (await value.read())!;
      expect(await value.delete({ ifRevision: revision })).toEqual({ revision: revision + 1, deleted: true });
    });

    test("ifRevision 0: the key must be absent, and a delete of what is absent is none", async () => {
      const { keyspace } = setUp();
      await using _ = keyspace;
      const value = keyspace.value("key", text);
      expect(await value.delete({ ifRevision: 0 })).toMatchObject({ deleted: false });
      expect(await rejection(value.set("x", { ifRevision: 7 }))).toMatchObject({
        code: "EV_CONFLICT",
        currentRevision: 0,
      });
      await value.update(
        (current) => {
          expect(current).toBe(undefined);
          return "1";
        },
        { ifRevision: 0 },
      );
      expect(await codeOf(value.update(() => "2", { ifRevision: 0 }))).toBe("EV_CONFLICT");
      expect(await value.read()).toMatchObject({ value: "1" });
    });

    test("a conflict narrows to its fields, and names the key in its message", async () => {
      const { keyspace } = setUp();
      await using _ = keyspace;
      const error = await rejection(keyspace.value("key", text).set("x", { ifRevision: 7 }));
      if (!isEventValueError(error, "EV_CONFLICT")) throw error;
      expect(error.currentRevision).toBe(0);
      expect(error.message).toContain('"key"');
    });
  });

  describe("update", () => {
    test("of a hundred writers loses none", async () => {
      const { keyspace, prefix } = setUp();
      await using _ = keyspace;
      const { keyspace: second } = setUp({ namespace: prefix });
      await using __ = second;
      const counters = [
        keyspace.value("n", json<number>(), { default: 0 }),
        second.value("n", json<number>(), { default: 0 }),
      ];
      let calls = 0;
      const revisions = await Promise.all(
        Array.from({ length: 100 }, async (_unused, i) => {
          const { revision } = await counters[i % 2]!.update((current) => {
            calls++;
            return current + 1;
          });
          return revision;
        }),
      );
      expect(await counters[0]!.read()).toMatchObject({ value: 100 });
      expect(new Set(revisions).size).toBe(100);
      // It bit: some had to be computed again.
      expect(calls).toBeGreaterThan(100);
    });

    test("is given the default for an absent key, and undefined without one", async () => {
      const { keyspace } = setUp();
      await using _ = keyspace;
      const given: unknown[] = [];
      const note = (current: unknown): string => {
        given.push(current);
        return "1";
      };
      await keyspace.value("a", text, { default: "none" }).update(note);
      await keyspace.value("b", text).update(note);
      await keyspace.value("a", text, { default: "none" }).update(note);
      expect(given).toEqual(["none", undefined, "1"]);
    });

    test("whose function throws, or gives nothing or a promise, writes nothing", async () => {
      const { keyspace, prefix } = setUp();
      await using _ = keyspace;
      const value = keyspace.value("key", json<unknown>());
      const lenient: Codec<unknown> = { decode: () => undefined, encode: () => new Uint8Array(1) };
      const thrown = new Error("cannot tell");
      expect(
        await rejection(
          value.update(() => {
            throw thrown;
          }),
        ),
      ).toBe(thrown);
      expect(await rejection(value.update(() => undefined))).toBeInstanceOf(TypeError);
      expect(await rejection(keyspace.value("key", lenient).update(() => undefined))).toBeInstanceOf(TypeError);
      expect(await rejection(value.update(() => Promise.resolve(1)))).toBeInstanceOf(TypeError);
      expect(await rejection(keyspace.range("", json<unknown>()).update("key", async () => 1))).toBeInstanceOf(
        TypeError,
      );
      expect(await server.store.all(prefix)).toHaveProperty("size", 0);
    });

    test("is ended by its signal, in between as well", async () => {
      const { keyspace, prefix } = setUp();
      await using _ = keyspace;
      const value = keyspace.value("key", text);
      const controller = new AbortController();
      let calls = 0;
      const updating = value.update(
        () => {
          if (++calls === 3) controller.abort("enough");
          return "mine";
        },
        { signal: controller.signal },
      );
      // Somebody else is always faster.
      const outcome = observe(updating);
      for (let i = 0; outcome().state === "pending"; i++) await server.store.put(`${prefix}key`, `${i}`);
      // It may have come through between two writes of the other.
      if (outcome().state === "rejected") expect(await rejection(updating)).toBe("enough");
      else expect(calls).toBeLessThan(3);
    });
  });

  describe("with a lease", () => {
    test("binds the key to it; a write without one unbinds it", async () => {
      const { keyspace, prefix } = setUp();
      await using _ = keyspace;
      await using lease = await keyspace.lease({ ttlMs: 60_000 });
      const bound = keyspace.value("bound", text);
      const unbound = keyspace.value("unbound", text);
      await bound.set("1", { lease });
      await unbound.set("1", { lease, ifRevision: 0 });
      await keyspace.range("", text).set("of-range", "1", { lease });
      await keyspace.value("updated", text).update(() => "1", { lease });
      await unbound.set("2");
      expect([...(await server.store.all(prefix)).keys()]).toHaveLength(4);
      await lease.close();
      expect([...(await server.store.all(prefix)).keys()]).toEqual([`${prefix}unbound`]);
      const error = await rejection(bound.set("1", { lease }));
      expect(error).toMatchObject({ code: "EV_LEASE_NOT_FOUND", key: "bound" });
    });
  });

  describe("while the store cannot be reached", () => {
    test("K9 a write that was not sent yet is repeated until it is carried out", async () => {
      await using proxy = await startProxy(server.etcd.port);
      await proxy.cut();
      const { keyspace, prefix } = setUp({ endpoints: proxy.endpoint });
      await using _ = keyspace;
      using status = keyspace.status.watch();
      const writes = [
        keyspace.value("set", text).set("1"),
        keyspace.value("deleted", text).delete(),
        keyspace.value("updated", text).update(() => "1"),
        keyspace.value("conditional", text).set("1", { ifRevision: 0 }),
      ];
      const outcomes = writes.map(observe);
      await status.get({ filter: (now) => now.state === "connecting" && now.cause !== undefined });
      expect(outcomes.map((outcome) => outcome().state)).toEqual(writes.map(() => "pending"));
      await proxy.heal();
      await Promise.all(writes);
      const names = [...(await server.store.all(prefix)).keys()].map((key) => key.slice(prefix.length));
      expect(names).toEqual(["conditional", "set", "updated"]);
    });

    test("K9 a write that is aborted before it was sent is not carried out", async () => {
      await using proxy = await startProxy(server.etcd.port);
      await proxy.cut();
      const { keyspace, prefix } = setUp({ endpoints: proxy.endpoint });
      await using _ = keyspace;
      using status = keyspace.status.watch();
      const controller = new AbortController();
      const write = keyspace.value("key", text).set("1", { signal: controller.signal });
      const reading = keyspace.value("key", text).read({ signal: controller.signal });
      await status.get({ filter: (now) => now.state === "connecting" && now.cause !== undefined });
      const reason = new Error("enough");
      controller.abort(reason);
      expect(await rejection(write)).toBe(reason);
      expect(await rejection(reading)).toBe(reason);
      expect(await rejection(keyspace.value("key", text).set("1", { signal: controller.signal }))).toBe(reason);
      await proxy.heal();
      // Carried out after anything that was sent before.
      await keyspace.value("other", text).set("1");
      expect([...(await server.store.all(prefix)).keys()]).toEqual([`${prefix}other`]);
    });

    test("K9 a write whose answer is lost rejects with maybeApplied, and is not repeated", async () => {
      await using proxy = await startProxy(server.etcd.port);
      const { keyspace } = setUp({ endpoints: proxy.endpoint, requestTimeoutMs: 500 });
      await using _ = keyspace;
      const value = keyspace.value("key", text);
      await value.set("1");
      proxy.blackhole();
      const writes = [value.set("2"), value.delete(), value.set("2", { ifRevision: 1 })];
      for (const write of writes) {
        expect(await rejection(write)).toMatchObject({
          code: "EV_UNAVAILABLE",
          maybeApplied: true,
          key: "key",
          cause: expect.any(Error),
        });
      }
      await proxy.heal();
      // Answered after anything that was sent before.
      expect(await value.read()).toMatchObject({ value: "1" });
    });

    test("K9 a write whose server dies before it answers rejects with maybeApplied", async () => {
      const { keyspace, prefix } = setUp();
      await using _ = keyspace;
      const value = keyspace.value("key", text);
      await value.set("1");
      await server.etcd.freeze();
      const writing = value.set("2");
      const outcome = observe(writing);
      const reading = value.read();
      // The request is on its way before the kernel takes this connection.
      await using probe = await startProxy(server.etcd.port);
      using store = new Store(probe.endpoint);
      const late = rejection(store.put("never", "mind"));
      await vi.waitFor(() => expect(probe.accepted).toBe(1));
      expect(outcome()).toEqual({ state: "pending" });
      await server.etcd.kill();
      expect(await rejection(writing)).toMatchObject({ code: "EV_UNAVAILABLE", maybeApplied: true, key: "key" });
      await late;
      await server.etcd.restart();
      // A read may always be repeated.
      expect(await reading).toMatchObject({ value: "1" });
      expect(await server.store.get(`${prefix}key`)).toMatchObject({ value: "1" });
    });

    test("K9 an aborted write that was sent rejects with the reason", async () => {
      await using proxy = await startProxy(server.etcd.port);
      const { keyspace } = setUp({ endpoints: proxy.endpoint });
      await using _ = keyspace;
      const value = keyspace.value("key", text);
      await value.set("1");
      proxy.blackhole();
      const controller = new AbortController();
      const write = value.set("2", { signal: controller.signal });
      controller.abort("enough");
      expect(await rejection(write)).toBe("enough");
    });
  });

  describe("what is wrong is refused at the call", () => {
    const connect = (options: unknown): EtcdKeyspace => new EtcdKeyspace(options as never);
    const endpoints = "http://127.0.0.1:1";

    test.each<[string, unknown, RegExp]>([
      ["nothing", undefined, /options must be/],
      ["null", null, /options must be/],
      ["a string", endpoints, /options must be/],
      ["no endpoints", {}, /endpoints must be/],
      ["an unknown option", { endpoints, timeout: 5 }, /unknown option "timeout"/],
      ["an empty list", { endpoints: [] }, /endpoints must not be empty/],
      ["an empty endpoint", { endpoints: "" }, /endpoints has no host/],
      ["a number", { endpoints: 2379 }, /endpoints must be/],
      ["a hole in the list", { endpoints: [endpoints, undefined] }, /endpoints\[1\] must be/],
      ["another scheme", { endpoints: "ftp://host" }, /endpoints has an unknown scheme/],
      ["a path", { endpoints: "http://host:2379/path" }, /endpoints must not have a path/],
      ["a user name", { endpoints: "http://user:secret@host" }, /endpoints must not hold a user name/],
      ["no port after the colon", { endpoints: "http://host:" }, /endpoints has no valid port/],
      ["a port that is none", { endpoints: "http://host:port" }, /endpoints has no valid port/],
      ["a port beyond", { endpoints: "http://host:65536" }, /endpoints has a port out of range/],
      ["spaces", { endpoints: "http://a host" }, /endpoints has no valid host/],
      ["http and https", { endpoints: ["http://a", "https://b"] }, /endpoints\[1\] must use http/],
      ["http with tls", { endpoints: "http://a", tls: {} }, /tls/],
      ["half a user", { endpoints, auth: { username: "a" } }, /auth\.password/],
      ["a user of another kind", { endpoints, auth: { username: 1, password: "b" } }, /auth.*username/],
      [
        "an unknown option of the user",
        { endpoints, auth: { username: "a", password: "b", token: "c" } },
        /unknown option "token"/,
      ],
      ["null as user", { endpoints, auth: null }, /auth/],
      [
        "an unknown option of tls",
        { endpoints: "https://a", tls: { rejectUnauthorized: false } },
        /unknown option "rejectUnauthorized"/,
      ],
      ["half a certificate", { endpoints: "https://a", tls: { cert: "x" } }, /tls\.cert and tls\.key/],
      ["a namespace of another kind", { endpoints, namespace: 1 }, /namespace/],
      [
        "half a surrogate pair in the namespace",
        { endpoints, namespace: "\ud800" },
        /namespace holds a lone surrogate/,
      ],
      ["a time of another kind", { endpoints, staleAfterMs: "15s" }, /staleAfterMs/],
    ])("new EtcdKeyspace() with %s: TypeError", (_title, options, message) => {
      expect(() => connect(options)).toThrow(TypeError);
      expect(() => connect(options)).toThrow(message);
      expect(() => connect(options)).not.toThrow(/secret/);
    });

    test.each(["staleAfterMs", "connectTimeoutMs", "requestTimeoutMs", "keepAliveMs", "keepAliveTimeoutMs"])(
      "new EtcdKeyspace() with %s that is no time: RangeError",
      (name) => {
        for (const ms of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
          expect(() => connect({ endpoints, [name]: ms }), `${ms}`).toThrow(RangeError);
          expect(() => connect({ endpoints, [name]: ms }), `${ms}`).toThrow(name);
        }
      },
    );

    test("keys, ranges and codecs", async () => {
      await using keyspace = connect({ endpoints });
      const value = keyspace.value.bind(keyspace) as (...given: unknown[]) => unknown;
      const range = keyspace.range.bind(keyspace) as (...given: unknown[]) => unknown;
      expect(() => value("", text)).toThrow(RangeError);
      expect(() => value("", text)).toThrow("key must not be empty");
      for (const key of [undefined, null, 1, {}, new Uint8Array(1), "a\ud800", "\udc00a"]) {
        expect(() => value(key, text), String(key)).toThrow(TypeError);
        expect(() => value(key, text), String(key)).toThrow("key");
      }
      for (const codec of [undefined, null, "text", {}, { decode: () => "" }, { encode: () => "" }]) {
        expect(() => value("a", codec)).toThrow(TypeError);
        expect(() => range("a", codec)).toThrow(TypeError);
        expect(() => range("a", codec)).toThrow("codec");
      }
      for (const options of [null, 1, "x", { defualt: 1 }, { default: Promise.resolve(1) }]) {
        expect(() => value("a", text, options)).toThrow(TypeError);
      }
      for (const selector of [
        undefined,
        null,
        1,
        {},
        { start: "a" },
        { end: "a" },
        { start: 1, end: 2 },
        "\ud800",
        { start: "a", end: "\ud800" },
      ]) {
        expect(() => range(selector, text), JSON.stringify(selector)).toThrow(TypeError);
        expect(() => range(selector, text), JSON.stringify(selector)).toThrow("range");
      }
      for (const [start, end] of [
        ["b", "a"],
        ["a", "a"],
        ["", ""],
        ["a", ""],
        // In the order of UTF-16 these would be a range.
        ["\u{1f600}", "\uff5e"],
      ]) {
        expect(() => range({ start, end }, text), `${start} to ${end}`).toThrow(RangeError);
        expect(() => range({ start, end }, text), `${start} to ${end}`).toThrow("range.end");
      }
    });

    test("values", async () => {
      await using keyspace = connect({ endpoints });
      const ofText = keyspace.value("a", text);
      const ofJson = keyspace.value("a", json<unknown>());
      const odd = keyspace.value("a", { decode: () => 1, encode: () => "not bytes" as never });
      const cycle: Record<string, unknown> = {};
      cycle["again"] = cycle;
      const wrong: [string, () => unknown][] = [
        ["a promise", () => ofJson.set(Promise.resolve(1))],
        // oxlint-disable-next-line unicorn/no-thenable -- the point
        ["a thenable", () => ofJson.set({ then: () => {} })],
        ["a promise, of a range", () => keyspace.range("", json<unknown>()).set("a", Promise.resolve(1))],
        ["undefined as JSON", () => ofJson.set(undefined)],
        ["a function as JSON", () => ofJson.set(() => {})],
        ["a cycle as JSON", () => ofJson.set(cycle)],
        ["half a surrogate pair", () => ofText.set("\ud800")],
        ["a number as text", () => ofText.set(1 as never)],
        ["text as bytes", () => keyspace.value("a", bytes).set("1" as never)],
        ["what is not bytes", () => odd.set(1)],
        ["no function", () => ofText.update("x" as never)],
        ["no function, of a range", () => keyspace.range("", text).update("a", undefined as never)],
      ];
      for (const [title, act] of wrong) expect(act, title).toThrow(TypeError);
    });

    test("options", async () => {
      await using keyspace = connect({ endpoints });
      const value = keyspace.value("a", text);
      const range = keyspace.range("", text);
      const calls: [string, (options: never) => unknown][] = [
        ["set", (options) => value.set("1", options)],
        ["update", (options) => value.update(() => "1", options)],
        ["delete", (options) => value.delete(options)],
        ["range set", (options) => range.set("a", "1", options)],
        ["range update", (options) => range.update("a", () => "1", options)],
        ["range delete", (options) => range.delete("a", options)],
      ];
      for (const [title, act] of calls) {
        for (const options of [
          null,
          1,
          { ifRevison: 1 },
          { ifRevision: "1" },
          { ifRevision: null },
          { ifRevision: 1n },
          { lease: null },
          { lease: "1" },
          { lease: {} },
          { lease: { id: 1 } },
          { lease: { id: "one" } },
          { signal: {} },
          new AbortController().signal,
        ]) {
          expect(() => act(options as never), `${title} ${String(options)}`).toThrow(TypeError);
        }
        for (const ifRevision of [-1, 1.5, Number.NaN, 2 ** 53]) {
          expect(() => act({ ifRevision } as never), `${title} ${ifRevision}`).toThrow(RangeError);
          expect(() => act({ ifRevision } as never), `${title} ${ifRevision}`).toThrow("ifRevision");
        }
      }
      using watcher = range.watch();
      const others: [string, (options: never) => unknown][] = [
        ["read", (options) => value.read(options)],
        ["range read", (options) => range.read(options)],
        ["watch", (options) => value.watch(options)],
        ["updates", (options) => value.updates.watch(options)],
        ["range watch", (options) => range.watch(options)],
        ["status", (options) => keyspace.status.watch(options)],
        ["getBatch", (options) => watcher.getBatch(options)],
        ["get", (options) => watcher.get(options)],
      ];
      for (const [title, act] of others) {
        for (const options of [null, 1, { signals: 1 }, { signal: 1 }]) {
          expect(() => act(options as never), title).toThrow(TypeError);
        }
      }
      expect(() => watcher.getBatch({ filter: () => true } as never)).toThrow('unknown option "filter"');
      for (const ttlMs of [undefined, null, "5s", 5n])
        expect(() => keyspace.lease({ ttlMs } as never)).toThrow(TypeError);
      for (const ttlMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
        expect(() => keyspace.lease({ ttlMs })).toThrow(RangeError);
      expect(() => keyspace.lease({ ttlMs: 0 })).toThrow("ttlMs");
      expect(() => keyspace.lease(undefined as never)).toThrow(TypeError);
      expect(() => keyspace.lease({ ttl: 5 } as never)).toThrow(TypeError);
    });
  });
});
