import * as fc from "fast-check";
import { describe, test } from "vitest";
import * as core from "../../src/index.ts";
import { loadCore } from "../support/compiled.ts";
import { seed } from "../support/seed.ts";
import { drive, drivePatiently, type Kind, runs } from "./core-model.ts";

const kinds: readonly Kind[] = ["MemoryValue", "LockstepValue", "operators on a MemoryValue"];

describe(`interleavings of set, get, abort, close and iteration (seed ${seed})`, () => {
  test.each(kinds)("leave every promise of %s as the model says", async (kind) => {
    await fc.assert(
      fc.asyncProperty(runs, (steps) => drive(core, kind, steps)),
      { seed, numRuns: 6000 },
    );
  });

  test.each(kinds)("do so for %s also when almost every delivery is put off, and waited for", async (kind) => {
    const pace = { file: "internal/pace.ts", right: "const burst = 16_384;", instead: "const burst = 2;" };
    const hasty = await loadCore([pace]);
    await fc.assert(
      fc.asyncProperty(runs, (steps) => drivePatiently(hasty, kind, steps)),
      { seed, numRuns: 500 },
    );
  });
});
