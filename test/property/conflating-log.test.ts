import * as fc from "fast-check";
import { describe, test } from "vitest";
import { ConflatingLog } from "../../src/range/conflating-log.ts";
import { Random, seed } from "../support/seed.ts";
import { findViolation, Run, type Step, type Write } from "./conflating-log-model.ts";

describe(`a conflating log against a map for each watcher (seed ${seed})`, () => {
  test("tells every watcher all that changed for it, in order, and nothing else, over 20,000 runs", () => {
    const found = findViolation(ConflatingLog, new Random(seed), 20_000);
    if (found !== undefined) throw new Error(`run ${found.run} of seed ${seed}`, { cause: found.error });
  });

  // The same, slower, with runs that are made small when they fail: for a violation found above, this tells why.
  test("does so in the smallest runs that could show otherwise", () => {
    const write: fc.Arbitrary<Write> = fc.record({
      key: fc.nat({ max: 3 }),
      value: fc.option(fc.nat({ max: 2 }), { nil: undefined }),
    });
    const writes = fc.array(write, { minLength: 1, maxLength: 3 });
    const revisions = fc.array(writes, { minLength: 1, maxLength: 3 });
    const watcher = fc.nat({ max: 3 });
    const step: fc.Arbitrary<Step> = fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant("write"), revisions }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("resync"), revisions }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("break"), told: writes, untold: writes }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("rewind"), back: fc.nat({ max: 3 }), revisions }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("progress"), by: fc.nat({ max: 2 }) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("join") }) },
      { weight: 5, arbitrary: fc.record({ do: fc.constant("next"), watcher, times: fc.integer({ min: 1, max: 2 }) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("batch"), watcher }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("close"), watcher }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
        const run = new Run(new ConflatingLog(), 4);
        for (const each of steps) run.step(each);
        run.finish();
      }),
      { seed, numRuns: 1_000 },
    );
  });
});
