/**
 * Finds an etcd for the run and hands its path to the test files in EV_TEST_ETCD. Where none can be had, the run
 * fails with `CI=true`; elsewhere it says so, and all that needs a server is counted as skipped.
 */
import { env } from "node:process";
import { findEtcd } from "../../scripts/etcd.mjs";

export default async function setup() {
  // Empty where `npm test` has looked, in vain, and said so.
  if (env.EV_TEST_ETCD !== undefined) return;
  try {
    const { bin } = await findEtcd({ log: (line) => console.error(line) });
    env.EV_TEST_ETCD = bin;
  } catch (error) {
    if (env.CI === "true") throw error;
    console.error(`\nSKIPPED: every test that needs etcd, for there is none.\n${error.message}\n`);
  }
}
