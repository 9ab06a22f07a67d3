/** Writes to etcd: what becomes of them where it cannot be reached, and what it takes to connect. See also test/conformance. */
import { describe, expect, test, vi } from "vitest";
import { bytes, put, text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { observe, rejection } from "../support/promises.ts";
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

  test("what the store refuses names the key, and what the store said", async () => {
    const { keyspace } = setUp();
    await using _ = keyspace;
    const value = keyspace.value("key", bytes);
    await value.set(new Uint8Array(1_500_000));
    const large = new Uint8Array(1_600_000);
    for (const write of [() => value.set(large), () => keyspace.transaction([put(value, large)])]) {
      expect(await rejection(write())).toMatchObject({
        code: "EV_RESOURCE_EXHAUSTED",
        key: "key",
        cause: expect.any(Error),
      });
    }
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
  });
});
