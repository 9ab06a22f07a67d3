/** Promises of what runs for long, dropped: that nothing is written and that a task failed is heard of, nothing else. */
import { describe, expect, test } from "vitest";
import { resultInChild } from "../../support/compiled.ts";

describe("a promise that nobody holds", () => {
  test("of announce or lead rejects unnoticed, unless it cannot write, or its task failed", async () => {
    const unhandled = await resultInChild(async ({ core, timers }) => {
      const reasons: string[] = [];
      process.on("unhandledRejection", (reason) => reasons.push(String(reason)));
      const keyspace = new core.MemoryKeyspace();
      const key = keyspace.value("key", core.json<number>());
      const election = keyspace.election("leader");
      const value = new core.MemoryValue({ initial: 1 });
      const fail = (why: string) => async (): Promise<never> => {
        throw new Error(why);
      };
      const broken = core.map(value, () => {
        throw new Error("source");
      });
      const stop = new AbortController();
      const { signal } = stop;
      void core.announce(keyspace, { set: fail("a write") }, value);
      void core.announce({ lease: fail("a lease") }, key, value);
      void core.announce(keyspace, key, broken);
      void core.announce(keyspace, key, value);
      void core.announce(keyspace, keyspace.value("another", core.json<number>()), value, { signal });
      const late = new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => reject(new Error("a write, aborted")));
      });
      void core.announce(keyspace, { set: () => late }, value, { signal });
      void core.lead(election, "me", fail("a task"));
      void core.lead({ campaign: fail("a campaign") }, "me", () => {});
      for (let i = 0; i < 5; i++) await timers.setImmediate();
      void core.lead(election, "me", () => late, { signal });
      for (let i = 0; i < 5; i++) await timers.setImmediate();
      stop.abort();
      await keyspace.close();
      value.set(2);
      for (let i = 0; i < 5; i++) await timers.setImmediate();
      return reasons.sort();
    });
    expect(unhandled).toEqual(["Error: a lease", "Error: a task", "Error: a write"]);
  });
});
