/**
 * `npm run bench`: measures the library against what a user would take instead, and prints one table for each question.
 * Installs and builds before that what is missing or out of date.
 */
import { spawnSync } from "node:child_process";
import { argv, env, execPath, exit } from "node:process";
import { parseArgs } from "node:util";
import { bootstrap, root } from "./bootstrap.mjs";
import { allSeries, findEtcd } from "./etcd.mjs";
import { isOutdated } from "./newest.mjs";

const help = `usage: npm run bench -- [options]

  --quick         a minute or a half more, instead of twenty; enough to see what broke, not to tell tenths
  --only TEXT     only questions whose names contain this
  --list          the questions, by name
  --write         put the results into docs/performance.md, and the plots beside it
  --etcd SERIES   ${allSeries.join(" or ")} (default: the oldest there is)`;

const options = read();
bootstrap();
// What imports `event-value` as a user does runs on what is built.
if (isOutdated() && spawnSync(execPath, ["scripts/build.mjs"], { cwd: root, stdio: "inherit" }).status !== 0) exit(1);
const { register } = await import("./typescript.mjs");
register();
const { bench } = await import("../bench/main.ts");
if (!options.list) await findServer();
exit(await bench(options));

/** What needs no server is answered without one. */
async function findServer() {
  if (env.EV_TEST_ETCD !== undefined && options.etcd === undefined) return;
  try {
    env.EV_TEST_ETCD = (await findEtcd({ series: options.etcd, log: console.error })).bin;
  } catch (error) {
    console.error(error.message);
  }
}

function read() {
  const known = {
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    list: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
    etcd: { type: "string" },
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
  const wrong =
    values.etcd !== undefined && !allSeries.includes(values.etcd)
      ? `--etcd must be ${allSeries.join(" or ")}, not ${String(values.etcd)}`
      : values.write && (values.quick || values.only !== "")
        ? "--write takes a full run: not with --quick or --only"
        : undefined;
  if (wrong !== undefined) {
    console.error(`${wrong}\n\n${help}`);
    exit(2);
  }
  return values;
}
