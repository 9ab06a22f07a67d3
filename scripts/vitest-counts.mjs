/**
 * A reporter of vitest's that counts for scripts/test.mjs: writes `{ passed, failed, skipped }` to EV_TEST_COUNTS.
 *
 * Failures are also what keeps tests from running or belongs to none: a file that does not load, a hook that throws,
 * an error that nobody handled.
 */
import { writeFileSync } from "node:fs";
import { env } from "node:process";

export default class Counts {
  onTestRunEnd(modules, unhandledErrors) {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const groups = modules.flatMap((module) => [module, ...module.children.allSuites()]);
    const inState = (state) => tests.filter((test) => test.result().state === state).length;
    const counts = {
      passed: inState("passed"),
      failed: inState("failed") + groups.filter((group) => group.errors().length > 0).length + unhandledErrors.length,
      skipped: inState("skipped"),
    };
    writeFileSync(env.EV_TEST_COUNTS, JSON.stringify(counts));
  }
}
