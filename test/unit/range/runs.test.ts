import { describe, expect, test } from "vitest";
import { Runs } from "../../../src/range/runs.ts";
import { Random, seed } from "../../support/seed.ts";

function drain(runs: Runs<{ revision: number }>): number[] {
  const revisions: number[] = [];
  for (let item = runs.next(); item !== undefined; item = runs.next()) revisions.push(item.revision);
  return revisions;
}

describe(`runs (seed ${seed})`, () => {
  test("give what came in pages in the order of revisions", () => {
    const random = new Random(seed);
    for (let i = 0; i < 500; i++) {
      const runs = new Runs<{ revision: number }>();
      const all: number[] = [];
      for (let pages = random.below(20); pages > 0; pages--) {
        const page = Array.from({ length: random.below(10) }, () => random.below(30));
        all.push(...page);
        runs.add(page.map((revision) => ({ revision })));
      }
      expect(drain(runs)).toEqual(all.sort((a, b) => a - b));
      expect(runs.next()).toBe(undefined);
    }
  });

  test("take more while they are read", () => {
    const runs = new Runs<{ revision: number }>();
    runs.add([{ revision: 3 }, { revision: 5 }]);
    expect(runs.next()?.revision).toBe(3);
    runs.add([{ revision: 4 }, { revision: 1 }]);
    expect(drain(runs)).toEqual([1, 4, 5]);
  });
});
