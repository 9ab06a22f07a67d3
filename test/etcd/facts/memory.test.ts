import { describe, expect, test, vi } from "vitest";
import { etcdAvailable } from "../../support/etcd.ts";
import { inChild } from "../child.ts";
import { freshPrefix, useEtcd } from "../store.ts";

describe.skipIf(!etcdAvailable)("what a keyspace keeps of etcd's responses", () => {
  const server = useEtcd();

  test("K10 is the values alone: a small one does not pin the megabyte it came with", async () => {
    const prefix = freshPrefix();
    const child = inChild(
      async ({ core, etcd, endpoint, prefix: namespace }) => {
        const { gc } = globalThis as unknown as { gc: () => void };
        const keyspace = new etcd.EtcdKeyspace({ endpoints: endpoint, namespace });
        const range = keyspace.range("", core.bytes);
        const watcher = range.watch();
        await watcher.getBatch();
        /** What the process holds outside of the heap's objects. */
        const held = async (): Promise<number> => {
          for (let i = 0; i < 5; i++) {
            gc();
            await new Promise((resolve) => setImmediate(resolve));
          }
          const { arrayBuffers, external } = process.memoryUsage();
          return Math.max(arrayBuffers, external);
        };
        const before = await held();
        await keyspace.value("ready", core.text).set("yes");
        const keys = new Set<string>();
        while (!keys.has("done")) for (const { key } of (await watcher.getBatch()).changes) keys.add(key);
        const grown = (await held()) - before;
        await keyspace.close();
        return { grown, keys: keys.size };
      },
      { endpoint: server.etcd.endpoint, prefix },
      { nodeOptions: ["--expose-gc"] },
    );
    await vi.waitFor(async () => expect(await server.store.get(`${prefix}ready`)).toBeDefined(), { timeout: 10_000 });
    // Both in one revision, and so in one response. The big one is overwritten each time, the small ones stay.
    for (let i = 0; i < 40; i++) {
      await server.store.txn([
        { key: `${prefix}big`, value: "x".repeat(1_000_000) },
        { key: `${prefix}small-${i}`, value: "s".repeat(2000) },
      ]);
    }
    await server.store.put(`${prefix}done`, "yes");
    const { result, stderr } = await child;
    expect(stderr).toBe("");
    const { grown, keys } = result as { grown: number; keys: number };
    expect(keys).toBe(43);
    // One big value, and what the connection has in its buffers.
    expect(grown, "bytes that are kept outside of the heap").toBeLessThan(15_000_000);
  });
});
