/** Updates of one key by many keyspaces at once, each with connections of its own, as that many processes have. */
import { afterAll, describe, expect, test } from "vitest";
import { json } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { freshPrefix, useEtcd } from "./store.ts";

describe.skipIf(!etcdAvailable)("updates of one key in etcd", () => {
  const server = useEtcd();
  const measured: string[] = [];
  afterAll(() => console.log(measured.join("\n")));

  /** Has `count` keyspaces count `times` each, and measures how they get along. */
  async function contend(count: number, times: number): Promise<{ value: string; tries: number; revisions: number[] }> {
    const namespace = freshPrefix();
    const keyspaces = Array.from(
      { length: count },
      () => new EtcdKeyspace({ endpoints: server.etcd.endpoint, namespace }),
    );
    try {
      const counters = keyspaces.map((keyspace) => keyspace.value("n", json<number>(), { default: 0 }));
      // All are connected before the first begins.
      await Promise.all(counters.map((counter) => counter.read()));
      const before = await server.store.calls("Txn");
      const began = performance.now();
      let longest = 0;
      const each = counters.map(async (counter) => {
        const revisions: number[] = [];
        for (let i = 0; i < times; i++) {
          const asked = performance.now();
          const { revision } = await counter.update((n) => n + 1);
          revisions.push(revision);
          longest = Math.max(longest, performance.now() - asked);
        }
        return { revisions, took: performance.now() - began };
      });
      const all = await Promise.all(each);
      const took = all.map((one) => one.took);
      const tries = (await server.store.calls("Txn")) - before;
      measured.push(
        `${count} keyspaces, ${times} updates each: ${Math.max(...took).toFixed()} ms, ` +
          `${(tries / count / times).toFixed(1)} transactions an update, the longest update ${longest.toFixed()} ms, ` +
          `the last was done ${(Math.max(...took) / Math.min(...took)).toFixed(1)} times as late as the first`,
      );
      const { value } = (await server.store.get(`${namespace}n`))!;
      return { value, tries, revisions: all.flatMap((one) => one.revisions) };
    } finally {
      await Promise.all(keyspaces.map((keyspace) => keyspace.close()));
    }
  }

  test("by a hundred keyspaces at once: all finish, and none is lost", async () => {
    const { value, tries, revisions } = await contend(100, 1);
    expect(value).toBe("100");
    expect(new Set(revisions).size).toBe(100);
    // It bit: there was something to lose.
    expect(tries).toBeGreaterThan(200);
  });

  test("by eight keyspaces again and again: all finish, and none is lost", async () => {
    const { value, tries, revisions } = await contend(8, 30);
    expect(value).toBe("240");
    expect(new Set(revisions).size).toBe(240);
    expect(tries).toBeGreaterThan(240);
  });
});
