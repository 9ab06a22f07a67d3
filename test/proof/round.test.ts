import { describe, expect, test } from "vitest";
import { faults } from "../faults/all.ts";
import { lifeFaults } from "../faults/lives.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { seed } from "../support/seed.ts";
import { round } from "./round.ts";

describe.skipIf(!etcdAvailable)(`a cluster, watchers and a nemesis (seed ${seed})`, () => {
  test("K1 to K12: every fault strikes once, and no guarantee breaks", { timeout: 400_000 }, async () => {
    const lines: string[] = [];
    try {
      const result = await round({ seed, forMs: 0, log: (line) => lines.push(line) });
      expect(result.violations).toEqual([]);
      for (const { name } of [...faults, ...lifeFaults]) expect(result.struck.get(name), name).toBeGreaterThan(0);
      // A round in which nothing happens proves nothing.
      expect(result.writes).toBeGreaterThan(500);
      expect(result.deliveries).toBeGreaterThan(10 * result.writes);
      expect(result.written.made).toBeGreaterThan(100);
      expect(result.written.refused).toBeGreaterThan(0);
      expect(result.written.unclear).toBeGreaterThan(0);
    } catch (error) {
      console.error(lines.join("\n"));
      throw error;
    }
  });
});
