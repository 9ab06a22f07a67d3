import { describe, expect, test, vi } from "vitest";
import { text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import type { Watcher } from "../../src/watchable.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { freePorts } from "../support/ports.ts";
import { startProxy } from "../support/proxy.ts";
import { inChild, type Tools } from "./child.ts";
import { freshPrefix, useEtcd } from "./store.ts";

describe.skipIf(!etcdAvailable)("what is left of a keyspace in etcd", () => {
  const server = useEtcd();

  /** Runs `task` in a process of its own, which must end by itself and without a word. */
  async function run(task: (tools: Tools) => unknown, endpoint = server.etcd.endpoint): Promise<unknown> {
    const { result, exitCode, hung, stderr } = await inChild(task, { endpoint, prefix: freshPrefix() });
    expect({ stderr, hung, exitCode }).toEqual({ stderr: "", hung: false, exitCode: 0 });
    return result;
  }

  describe("K12 clean: the process exits by itself", () => {
    test("when it watched, read, wrote and leased, and closed the keyspace", async () => {
      const result = await run(async ({ core, etcd, endpoint, prefix }) => {
        const keyspace = new etcd.EtcdKeyspace({ endpoints: endpoint, namespace: prefix });
        const value = keyspace.value("key", core.text);
        const watcher = value.watch();
        const batches = keyspace.range("", core.text).watch();
        const status = keyspace.status.watch();
        const lease = await keyspace.lease({ ttlMs: 60_000 });
        const seen: unknown[] = [];
        await value.set("1", { lease });
        seen.push(await watcher.get(), (await batches.getBatch()).changes.length, (await value.read())?.value);
        await value.update((current) => `${current}!`, { lease });
        seen.push(await watcher.get());
        const live = await status.get({ filter: ({ state }) => state === "live" });
        seen.push(live.state);
        await keyspace.close();
        return seen;
      });
      expect(result).toEqual(["1", 1, "1", "1!", "live"]);
    });

    test("when the watchers are closed, though the keyspace is not", async () => {
      const result = await run(async ({ core, etcd, endpoint, prefix }) => {
        const keyspace = new etcd.EtcdKeyspace({ endpoints: endpoint, namespace: prefix });
        const one = keyspace.value("key", core.text, { default: "none" }).watch();
        const other = keyspace.range("", core.text).watch();
        const first = await one.get();
        const second = other.get().catch((error: { code: string }) => error.code);
        one.close();
        other.close();
        return [first, await second];
      });
      expect(result).toEqual(["none", "EV_CLOSED"]);
    });

    test("when it only read and wrote, and closed nothing", async () => {
      const result = await run(async ({ core, etcd, endpoint, prefix }) => {
        const keyspace = new etcd.EtcdKeyspace({ endpoints: endpoint, namespace: prefix });
        await keyspace.value("key", core.text).set("1");
        return keyspace.value("key", core.text).read();
      });
      expect(result).toMatchObject({ value: "1" });
    });

    test("when a keyspace was made and not used", async () => {
      await run(async ({ core, etcd, endpoint }) => {
        const keyspace = new etcd.EtcdKeyspace({ endpoints: endpoint });
        keyspace.value("key", core.text);
        keyspace.range("", core.text);
      });
    });

    test("when everything is closed while the store cannot be reached", async () => {
      const [port] = await freePorts(1);
      const result = await run(async ({ core, etcd, endpoint, timers }) => {
        const keyspace = new etcd.EtcdKeyspace({ endpoints: endpoint });
        const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
          promise.then(
            () => "fulfilled",
            (error: { code: string }) => error.code,
          );
        const value = keyspace.value("key", core.text);
        const pending = [
          value.watch().get(),
          value.updates.watch().get(),
          keyspace.range("", core.text).watch().getBatch(),
          value.read(),
          keyspace.range("", core.text).read(),
          value.set("1"),
          value.update(() => "1"),
          value.delete(),
          keyspace.lease({ ttlMs: 5000 }),
        ].map(codeOf);
        const status = keyspace.status.watch();
        await status.get({ filter: (now) => now.state === "connecting" && now.cause !== undefined });
        await timers.setTimeout(100);
        await keyspace.close();
        return Promise.all(pending);
      }, `http://127.0.0.1:${port}`);
      expect(new Set(result as string[])).toEqual(new Set(["EV_CLOSED"]));
      expect(result).toHaveLength(9);
    });

    test("when everything is closed while the store is silent", async () => {
      await using proxy = await startProxy(server.etcd.port);
      proxy.blackhole();
      await run(async ({ core, etcd, endpoint, timers }) => {
        const keyspace = new etcd.EtcdKeyspace({ endpoints: endpoint });
        keyspace
          .value("key", core.text)
          .watch()
          .get()
          .catch(() => {});
        const watcher = keyspace.range("", core.text).watch();
        const get = watcher.getBatch().catch((error: { code: string }) => error.code);
        await timers.setTimeout(200);
        watcher.close();
        await keyspace.close();
        return get;
      }, proxy.endpoint);
    });

    test("when a watcher is closed while the store cannot be reached, though the keyspace is not", async () => {
      const [port] = await freePorts(1);
      const result = await run(async ({ core, etcd, endpoint, timers }) => {
        const keyspace = new etcd.EtcdKeyspace({ endpoints: endpoint });
        const watcher = keyspace.value("key", core.text).watch();
        const get = watcher.get().catch((error: { code: string }) => error.code);
        const status = keyspace.status.watch();
        await timers.setTimeout(100);
        status.close();
        watcher.close();
        return get;
      }, `http://127.0.0.1:${port}`);
      expect(result).toBe("EV_CLOSED");
    });

    test("when gets were dropped: none of them is an unhandled rejection", async () => {
      await run(async ({ core, etcd, endpoint, prefix, timers }) => {
        const keyspace = new etcd.EtcdKeyspace({ endpoints: endpoint, namespace: prefix });
        const value = keyspace.value("key", core.json<number>());
        const watchers = Array.from({ length: 10 }, () => value.watch());
        for (const watcher of watchers) {
          void watcher.get();
          void watcher.get();
          void watcher[Symbol.asyncIterator]().next();
        }
        void value.read({ signal: AbortSignal.timeout(1) });
        void keyspace.range("", core.text).read({ signal: AbortSignal.abort() });
        void keyspace
          .range("", core.text)
          .watch()
          .getBatch({ signal: AbortSignal.timeout(1) });
        watchers[0]!.close();
        await value.set(1);
        for (const watcher of watchers) void watcher.get({ signal: AbortSignal.timeout(5) });
        await timers.setTimeout(30);
        const raw = keyspace.value("key", core.text);
        await raw.set("{bad");
        for (const watcher of watchers) void watcher.get();
        void value.read();
        await timers.setTimeout(30);
        await keyspace.close();
        for (const watcher of watchers) void watcher.get();
        void value.read();
        await timers.setTimeout(10);
      });
    });
  });

  test("K12 clean: close() leaves neither timer nor socket", async () => {
    const result = await run(async ({ core, etcd, endpoint, prefix }) => {
      const rounds: unknown[] = [];
      // What keeps a process alive, as Node tells it. That of the pipes to the parent was there before.
      const resources = (): string[] => process.getActiveResourcesInfo().filter((kind) => kind !== "PipeWrap");
      for (let round = 0; round < 3; round++) {
        const keyspace = new etcd.EtcdKeyspace({ endpoints: endpoint, namespace: `${prefix}${round}` });
        const value = keyspace.value("key", core.text);
        const watchers: Watcher<unknown>[] = [value.watch(), value.watch(), keyspace.range("", core.text).watch()];
        watchers.push(keyspace.status.watch());
        const lease = await keyspace.lease({ ttlMs: 10_000 });
        await value.set("1", { lease });
        for (const watcher of watchers) await watcher.get();
        const pending = watchers.map((watcher) =>
          watcher.get({ filter: () => false }).catch((error: { code: string }) => error.code),
        );
        const open = resources();
        await keyspace.close();
        // A socket is gone when its end has been processed. A timer would show itself.
        for (let i = 0; i < 1000 && resources().length > 0; i++) await new Promise((resolve) => setImmediate(resolve));
        rounds.push({ open, left: resources(), pending: await Promise.all(pending) });
      }
      return rounds;
    });
    for (const round of result as { open: string[] }[]) {
      expect(round).toMatchObject({ left: [], pending: ["EV_CLOSED", "EV_CLOSED", "EV_CLOSED", "EV_CLOSED"] });
      expect(round.open).toEqual(expect.arrayContaining(["TCPSocketWrap", "Timeout"]));
    }
  });

  test("K12 clean: close() ends the server's watches, streams and connections", async () => {
    await using proxy = await startProxy(server.etcd.port);
    const [watchers, streams] = [await server.store.watchers(), await server.store.streams()];
    const keyspace = new EtcdKeyspace({ endpoints: proxy.endpoint, namespace: freshPrefix() });
    using first = keyspace.value("key", text, { default: "none" }).watch();
    using second = keyspace.range("", text).watch();
    await Promise.all([first.get(), second.getBatch()]);
    await vi.waitFor(async () => expect(await server.store.watchers()).toBe(watchers + 2));
    expect(proxy.connections).toBe(2);
    await keyspace.close();
    await vi.waitFor(async () => {
      expect(await server.store.watchers()).toBe(watchers);
      expect(await server.store.streams()).toBe(streams);
      expect(proxy.connections).toBe(0);
    });
  });
});
