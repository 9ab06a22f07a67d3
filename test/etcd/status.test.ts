import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { TransportError } from "../../src/etcd/transport.ts";
import type { Status } from "../../src/keyspace.ts";
import type { Watcher } from "../../src/watchable.ts";
import { startCluster } from "../support/cluster.ts";
import { type EtcdServer, etcdAvailable } from "../support/etcd.ts";
import { codeOf, observe } from "../support/promises.ts";
import { type Proxy, startProxy } from "../support/proxy.ts";
import { freshPrefix, useEtcd } from "./store.ts";

/** Short, so that tests are; long enough for a machine that is busy. */
const staleAfterMs = 2000;

/** Gets statuses until one is in `state`. */
async function reach<S extends Status["state"]>(watcher: Watcher<Status>, state: S): Promise<Status & { state: S }> {
  return await watcher.get({ filter: (status): status is Status & { state: S } => status.state === state });
}

/** The next status that says what went wrong before the store was ever reached. */
async function cause(watcher: Watcher<Status>): Promise<Error> {
  const status = await watcher.get({ filter: (now) => now.state !== "connecting" || now.cause !== undefined });
  expect(status.state).toBe("connecting");
  return (status as { cause: Error }).cause;
}

describe.skipIf(!etcdAvailable)("the status of a keyspace", () => {
  const server = useEtcd();

  function connect(endpoints: string | string[], options: object = {}): EtcdKeyspace {
    return new EtcdKeyspace({ endpoints, namespace: freshPrefix(), staleAfterMs, ...options });
  }

  describe("before the store is reached", () => {
    test("is connecting at once, and live with the store's revision when it answered", async () => {
      await using keyspace = connect(server.etcd.endpoint);
      const revision = await server.store.put(freshPrefix(), "elsewhere");
      const before = Date.now();
      using watcher = keyspace.status.watch();
      const first = await watcher.get();
      expect(first).toMatchObject({ state: "connecting", since: expect.any(Date) });
      expect((first as { since: Date }).since.getTime()).toBeGreaterThanOrEqual(before);
      expect((await reach(watcher, "live")).revision).toBeGreaterThanOrEqual(revision);
    });

    test("tells later revisions, and nothing while they stay the same", async () => {
      await using keyspace = connect(server.etcd.endpoint, { staleAfterMs: 300 });
      using watcher = keyspace.status.watch();
      const { revision } = await reach(watcher, "live");
      const next = watcher.get();
      const later = await server.store.put(freshPrefix(), "elsewhere");
      const told = await next;
      expect(later).toBeGreaterThan(revision);
      expect(told).toMatchObject({ state: "live", revision: later });
    });

    test("a refused port is the cause; gets wait, and are answered once a server is there", async () => {
      await using proxy = await startProxy(server.etcd.port);
      await proxy.cut();
      await using keyspace = connect(proxy.endpoint);
      using watcher = keyspace.status.watch();
      using value = keyspace.value("key", text, { default: "none" }).watch();
      const gets = [value.get(), keyspace.value("key", text).read()];
      const outcomes = gets.map(observe);
      const problem = await cause(watcher);
      expect(problem).toBeInstanceOf(TransportError);
      expect(problem.message).toContain("ECONNREFUSED");
      expect(problem.message).toContain(proxy.endpoint);
      expect(outcomes.map((outcome) => outcome().state)).toEqual(["pending", "pending"]);
      await proxy.heal();
      await reach(watcher, "live");
      expect(await Promise.all(gets)).toEqual(["none", undefined]);
    });

    test("a server that is no etcd is the cause; gets wait, and nothing spins", async () => {
      let requests = 0;
      const web = createHttpServer((_request, response) => response.writeHead(404).end("not here"));
      web.on("connection", () => requests++);
      web.listen(0, "127.0.0.1");
      await once(web, "listening");
      try {
        await using keyspace = connect(`http://127.0.0.1:${(web.address() as AddressInfo).port}`);
        using watcher = keyspace.status.watch();
        using value = keyspace.value("key", text).watch();
        const get = value.get();
        const outcome = observe(get);
        expect(await cause(watcher)).toBeInstanceOf(TransportError);
        const before = requests;
        await delay(1000);
        // Two callers (the range and the status) that each wait longer and longer.
        expect(requests - before).toBeLessThan(30);
        expect(outcome()).toEqual({ state: "pending" });
        await keyspace.close();
        expect(await codeOf(get)).toBe("EV_CLOSED");
      } finally {
        web.close();
        web.closeAllConnections();
      }
    });

    test("a server that closes every connection is the cause, and nothing spins", async () => {
      let connections = 0;
      const rude = createServer((socket) => {
        connections++;
        socket.on("error", () => {}).destroy();
      });
      rude.listen(0, "127.0.0.1");
      await once(rude, "listening");
      try {
        await using keyspace = connect(`http://127.0.0.1:${(rude.address() as AddressInfo).port}`);
        using watcher = keyspace.status.watch();
        using value = keyspace.value("key", text).watch();
        void value.get();
        expect(await cause(watcher)).toBeInstanceOf(TransportError);
        const before = connections;
        await delay(1000);
        expect(connections - before).toBeLessThan(30);
      } finally {
        rude.close();
      }
    });

    test("a port that takes connections and is silent is the cause", async () => {
      await using proxy = await startProxy(server.etcd.port);
      proxy.blackhole();
      await using keyspace = connect(proxy.endpoint, { connectTimeoutMs: 300, staleAfterMs: 30_000 });
      using watcher = keyspace.status.watch();
      using value = keyspace.value("key", text, { default: "none" }).watch();
      const get = value.get();
      const problem = await cause(watcher);
      expect(problem).toBeInstanceOf(TransportError);
      expect(problem.message).toContain("no connection within 300 ms");
      await proxy.heal();
      expect(await get).toBe("none");
      await reach(watcher, "live");
    });

    test("of several endpoints, one that answers is enough", async () => {
      await using dead = await startProxy(server.etcd.port);
      await dead.cut();
      for (let round = 0; round < 4; round++) {
        await using keyspace = connect([dead.endpoint, server.etcd.endpoint, dead.endpoint]);
        using watcher = keyspace.status.watch();
        await reach(watcher, "live");
        expect(await keyspace.value("key", text).read()).toBe(undefined);
      }
    });
  });

  describe("while the store is in trouble", () => {
    /** Everything that a fault may touch, with a watcher that follows. */
    async function setUp(endpoints: string | string[], options?: object) {
      const keyspace = connect(endpoints, options);
      const status = keyspace.status.watch();
      const value = keyspace.value("key", text, { default: "none" });
      const watcher = value.watch();
      expect(await watcher.get()).toBe("none");
      // The watch is up: it brings this.
      await value.set("before");
      expect(await watcher.get()).toBe("before");
      await reach(status, "live");
      return { keyspace, status, value, watcher, [Symbol.asyncDispose]: () => keyspace.close() };
    }

    interface Fault {
      hurt(proxy: Proxy): void | Promise<void>;
      heal(proxy: Proxy): void | Promise<void>;
    }
    const faults: [string, Fault][] = [
      ["frozen", { hurt: () => server.etcd.freeze(), heal: () => server.etcd.thaw() }],
      ["killed", { hurt: () => server.etcd.kill(), heal: () => server.etcd.restart() }],
      ["unreachable without a word", { hurt: (proxy) => proxy.blackhole(), heal: (proxy) => proxy.heal() }],
      ["cut off", { hurt: (proxy) => proxy.cut(), heal: (proxy) => proxy.heal() }],
    ];

    test.each(faults)("K9 %s: stale in time, gets wait, and live again", async (_title, { hurt, heal }) => {
      await using proxy = await startProxy(server.etcd.port);
      await using setting = await setUp(proxy.endpoint);
      const { status, value, watcher } = setting;
      using joiner = value.watch();
      const waiting = watcher.get();
      const began = performance.now();
      await hurt(proxy);
      try {
        const read = value.read();
        const joining = joiner.get();
        const outcomes = [waiting, read, joining].map(observe);
        const stale = await reach(status, "stale");
        expect(performance.now() - began).toBeLessThan(staleAfterMs);
        expect(stale).toMatchObject({ since: expect.any(Date), cause: expect.any(Error) });
        expect(outcomes.map((outcome) => outcome().state)).toEqual(["pending", "pending", "pending"]);
        await heal(proxy);
        await reach(status, "live");
        expect(await read).toMatchObject({ value: "before" });
        expect(await joining).toBe("before");
      } finally {
        server.etcd.thaw();
      }
      await value.set("here");
      expect(await waiting).toBe("here");
    });

    test("K9 a watcher that is cut off says so by the status, also where nobody watches that before", async () => {
      await using proxy = await startProxy(server.etcd.port);
      await using keyspace = connect(proxy.endpoint);
      using watcher = keyspace.value("key", text, { default: "none" }).watch();
      await watcher.get();
      const before = keyspace.status.watch();
      expect((await before.get()).state, "the store has answered a read").toBe("live");
      before.close();
      await proxy.cut();
      using status = keyspace.status.watch();
      expect(await reach(status, "stale")).toMatchObject({ cause: expect.any(Error) });
      await proxy.heal();
      await reach(status, "live");
    });

    test("K9 a member cut off from its quorum, as the only endpoint, is stale, and live again with the quorum", async () => {
      await using cluster = await startCluster(3);
      const [first, second, third] = cluster.members as [EtcdServer, EtcdServer, EtcdServer];
      await using setting = await setUp(third.endpoint);
      const { status, value, watcher } = setting;
      await Promise.all([first.freeze(), second.freeze()]);
      const began = performance.now();
      await reach(status, "stale");
      expect(performance.now() - began).toBeLessThan(staleAfterMs);
      const waiting = watcher.get();
      const writing = value.set("here", { signal: AbortSignal.timeout(30_000) }).catch((error: unknown) => error);
      first.thaw();
      second.thaw();
      await reach(status, "live");
      await writing;
      await vi.waitFor(() => value.set("again"), { timeout: 10_000 });
      expect(["here", "again"]).toContain(await waiting);
    });

    test("K9 a store that is far away is not left by who wants to know soon that it cannot be reached", async () => {
      await using proxy = await startProxy(server.etcd.port);
      const namespace = freshPrefix();
      await using keyspace = new EtcdKeyspace({ endpoints: proxy.endpoint, namespace, staleAfterMs: 600 });
      using watcher = keyspace.value("key", text, { default: "none" }).watch();
      expect(await watcher.get()).toBe("none");
      await server.store.put(`${namespace}key`, "first");
      expect(await watcher.get()).toBe("first");
      // An answer takes longer than half of what may pass between a probe and the word that it is late.
      proxy.slow(150);
      const { accepted } = proxy;
      for (let i = 0; i < 8; i++) {
        await server.store.put(`${namespace}key`, `${i}`);
        expect(await watcher.get()).toBe(`${i}`);
      }
      expect(proxy.accepted).toBe(accepted);
    });

    test("K9 fail-over: with another member among the endpoints a silent one is left", async () => {
      await using other = await startProxy(server.etcd.port);
      await using proxy = await startProxy(server.etcd.port);
      // Either may be the one that is asked first.
      const namespace = freshPrefix();
      await using setting = await setUp([proxy.endpoint, other.endpoint], { namespace });
      const { value, watcher } = setting;
      const used = proxy.connections > 0 ? proxy : other;
      const waiting = watcher.get();
      used.blackhole();
      const spare = used === proxy ? other : proxy;
      // Without healing: calls and watches move to where an answer comes from.
      await vi.waitFor(() => expect(spare.connections).toBe(2), { timeout: 5000 });
      await server.store.put(`${namespace}key`, "here");
      expect(await waiting).toBe("here");
      expect(await value.read()).toMatchObject({ value: "here" });
    });
  });

  describe("and who watches it", () => {
    test("says closed when the keyspace is closed, then ends", async () => {
      const keyspace = connect(server.etcd.endpoint);
      using watcher = keyspace.status.watch();
      await reach(watcher, "live");
      const next = watcher.get();
      await keyspace.close();
      expect(await next).toEqual({ state: "closed" });
      expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
      expect(() => keyspace.status.watch()).toThrow(expect.objectContaining({ code: "EV_CLOSED" }));
    });

    test("watching it connects, and closing the last watcher ends the asking", async () => {
      await using proxy = await startProxy(server.etcd.port);
      await using keyspace = connect(proxy.endpoint, { staleAfterMs: 150 });
      expect(proxy.accepted).toBe(0);
      const watchers = [keyspace.status.watch(), keyspace.status.watch()];
      const controller = new AbortController();
      watchers.push(keyspace.status.watch({ signal: controller.signal }));
      for (const watcher of watchers) await reach(watcher, "live");
      expect(proxy.accepted).toBe(1);
      const asked = async (): Promise<number> => server.store.calls("Range");
      const before = await asked();
      await vi.waitFor(async () => expect(await asked()).toBeGreaterThan(before));
      watchers[0]!.close();
      watchers[1]!.close();
      controller.abort();
      keyspace.status.watch({ signal: AbortSignal.abort() });
      const after = await asked();
      await delay(300);
      // The one that may have been on its way.
      expect(await asked()).toBeLessThanOrEqual(after + 1);
    });

    test("a loop over it ends when the keyspace is closed", async () => {
      const keyspace = connect(server.etcd.endpoint);
      const states: string[] = [];
      for await (const status of keyspace.status.watch()) {
        states.push(status.state);
        if (status.state === "live") await keyspace.close();
      }
      expect(states).toEqual(["connecting", "live", "closed"]);
    });
  });
});
