/**
 * `npm run soak -- --minutes N`: a cluster of three members, writers, a process full of watchers, and faults of all
 * kinds for N minutes; every delivery is held against every guarantee (docs/testing.md). Ends with 0 if all held, 1 if
 * one was broken, 2 if the round itself went wrong.
 */
import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { argv, env, exit } from "node:process";
import { parseArgs } from "node:util";
import { bootstrap } from "./bootstrap.mjs";
import { allSeries, findEtcd } from "./etcd.mjs";

const help = `usage: npm run soak -- [options]

  --minutes N       how long faults go on (default: 5)
  --seed N          replays the faults and writes of a run; it prints its own
  --etcd SERIES     ${allSeries.join(" or ")} (default: the oldest there is)
  --only TEXT       only faults whose names contain this
  --mutation NAME   break the library on purpose (test/mutations/mutations.mjs), to see that it is noticed`;

const options = read();
bootstrap();
const { register } = await import("./typescript.mjs");
register();

const { bin } = await findEtcd({ series: options.etcd, log: console.log });
// All temporary files of the run are in one folder, so that none is left whatever happens.
const temporary = mkdtempSync(join(tmpdir(), "event-value-soak-"));
env.TMPDIR = temporary;
const removeTemporary = () => rmSync(temporary, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => {
    removeTemporary();
    exit(130);
  });
}
let outcome = 2;
try {
  const { soak } = await import("../test/proof/soak.ts");
  const { minutes, seed, only, mutation } = options;
  const held = await soak({ minutes, seed, bin, ...(only && { only }), ...(mutation && { mutation }) });
  console.log(
    held ? "\nevery guarantee held" : `\nbroken; npm run soak -- --minutes ${minutes} --seed ${seed} replays it`,
  );
  outcome = held ? 0 : 1;
} catch (error) {
  console.error(`\nthe round itself went wrong (seed ${options.seed}):`, error);
} finally {
  removeTemporary();
}
// Left to end by itself, Node 20 may spin in its own cleanup (Environment::CleanupHandles) and never end.
exit(outcome);

function read() {
  const known = {
    minutes: { type: "string", default: "5" },
    seed: { type: "string", default: String(randomInt(2 ** 31)) },
    etcd: { type: "string" },
    only: { type: "string" },
    mutation: { type: "string" },
    help: { type: "boolean", short: "h" },
  };
  let values;
  try {
    ({ values } = parseArgs({ args: argv.slice(2), options: known }));
  } catch (error) {
    console.error(`${error.message}\n\n${help}`);
    exit(2);
  }
  if (values.help) {
    console.log(help);
    exit(0);
  }
  const minutes = Number(values.minutes);
  const seed = Number(values.seed);
  const wrong = !(minutes > 0)
    ? `--minutes must be more than 0, not ${String(values.minutes)}`
    : !Number.isSafeInteger(seed)
      ? `--seed must be an integer, not ${String(values.seed)}`
      : values.etcd !== undefined && !allSeries.includes(values.etcd)
        ? `--etcd must be ${allSeries.join(" or ")}, not ${String(values.etcd)}`
        : undefined;
  if (wrong !== undefined) {
    console.error(`${wrong}\n\n${help}`);
    exit(2);
  }
  return { ...values, minutes, seed };
}
