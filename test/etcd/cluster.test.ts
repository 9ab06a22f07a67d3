import { describe, expect, test, vi } from "vitest";
import { isEventValueError, json, text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { startCluster } from "../support/cluster.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { Replica } from "../support/replica.ts";
import { Store } from "./store.ts";

describe.skipIf(!etcdAvailable)("a cluster of three members", () => {
  test("K3, K5, K9 fail-over: every member is lost in turn, by one fault or another, and no watcher notices", async () => {
    await using cluster = await startCluster(3);
    const { endpoints, members } = cluster;
    // A member that is silent, but whose connections are open, is found out by the time it takes to answer.
    const options = { endpoints, namespace: "ns/", staleAfterMs: 3000, requestTimeoutMs: 1000 };
    await using keyspace = new EtcdKeyspace(options);
    await using writing = new EtcdKeyspace(options);
    const range = keyspace.range("", text);
    const counter = writing.value("counter", json<number>(), { default: 0 });

    const batches = new Replica();
    const singles = new Replica();
    const counts: number[] = [];
    const done = new AbortController();
    const consumers = [
      (async () => {
        using watcher = range.watch();
        while (!batches.map.has("end")) await batches.getBatch(watcher);
      })(),
      (async () => {
        using watcher = range.watch();
        while (!singles.map.has("end")) await singles.get(watcher);
      })(),
      (async () => {
        using watcher = keyspace.value("counter", json<number>(), { default: 0 }).watch();
        done.signal.addEventListener("abort", () => watcher.close());
        for await (const count of watcher) counts.push(count);
      })(),
    ];

    /** Writes until the store has taken `count` of them. What may have been applied may also be applied twice. */
    let lastCount = 0;
    const write = async (count: number): Promise<void> => {
      for (let taken = 0; taken < count;) {
        try {
          await writing.value(`key-${taken % 7}`, text).set(`${performance.now()}`);
          await counter.update((current) => (lastCount = current + 1));
          if (taken % 5 === 4) await writing.value(`key-${taken % 7}`, text).delete();
          taken++;
        } catch (error) {
          if (!isEventValueError(error, "EV_UNAVAILABLE")) throw error;
        }
      }
    };

    await write(10);
    for (const [i, member] of members.entries()) {
      const lost = i === 1 ? ("freeze" as const) : ("kill" as const);
      const before = batches.changes;
      await member[lost]();
      await write(15);
      // Whoever was watched on that member is watched on another by now.
      await vi.waitFor(() => expect(batches.changes).toBeGreaterThan(before), { timeout: 15_000 });
      if (lost === "freeze") member.thaw();
      else await member.restart();
      await write(5);
    }
    await vi.waitFor(() => writing.value("end", text).set("1"), { timeout: 10_000 });
    await Promise.all(consumers.slice(0, 2));
    done.abort("done");
    await consumers[2];

    using store = new Store(endpoints[0]!);
    const held = new Map([...(await store.all("ns/"))].map(([key, known]) => [key.slice(3), known.value] as const));
    for (const replica of [batches, singles]) expect(new Map(Object.entries(replica.values()))).toEqual(held);
    expect(counts).toEqual([...counts].sort((a, b) => a - b));
    expect(Number(held.get("counter"))).toBe(lastCount);
  });
});
