/**
 * `npm test`: installs what is missing, runs every check, and ends with one line: `N passed, N failed`, followed by
 * `, N skipped` where something was.
 *
 * Each step counts as one check, except that the test suite counts each of its tests. Arguments are handed to vitest,
 * which then runs alone: `npm test -- range etcd`. `EV_SEED=42 npm test` replays the random choices of a run.
 *
 * The tests run with an etcd of the oldest series that is to be had, and what is tested on a server once more with one
 * of the other: the two differ in what they do about compactions, tokens and progress. `EV_TEST_ETCD` names the one
 * server to test on instead.
 */
import { spawn, spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { argv, env, execPath, exit, kill, platform, stdout } from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { bootstrap, npm, root } from "./bootstrap.mjs";
import { allSeries, findEtcd } from "./etcd.mjs";

/** What runs on each series of etcd. */
const onEverySeries = ["test/etcd", "test/proof"];

const counts = { passed: 0, failed: 0, skipped: 0 };
const filters = argv.slice(2);

bootstrap();
env.EV_SEED ||= String(randomInt(2 ** 31));
print(`seed ${env.EV_SEED}`);

// All temporary files of the run are in one folder, so that what is left behind can be found, and removed.
const temporary = mkdtempSync(join(tmpdir(), "event-value-test-"));
env.TMPDIR = temporary;
if (!stdout.isTTY) env.NO_COLOR = "1";

/** The process that a step runs, at the head of a group of its own. */
let running;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => {
    if (running?.pid && running.exitCode === null) kill(-running.pid, "SIGKILL");
    removeTemporary();
    exit(130);
  });
}

try {
  if (filters.length > 0) {
    const { found } = await findServers(1);
    await tests("tests", filters, found[0]);
  } else {
    const before = gitStatus();
    const [oldest, ...others] = await servers();
    await step("format", () => script("format:check"));
    await step("lint", () => script("lint"));
    await step("types", () => script("types"));
    const built = await step("build", () => script("build"));
    await step("API report", () => script("api:check"));
    await tests(`tests${on(oldest)}`, [], oldest);
    for (const server of others) await tests(`tests of what needs a server${on(server)}`, onEverySeries, server);
    if (built) await step("package", () => run([execPath, ["test/package/check.mjs"]]), { verbose: true });
    await step("nothing is left behind", () => nothingLeft(before));
  }
} finally {
  removeTemporary();
}

if (counts.failed > 0) print(`EV_SEED=${env.EV_SEED} npm test replays this run`);
const { passed, failed, skipped } = counts;
print(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = failed > 0 ? 1 : 0;

/**
 * Runs one check and counts it. A check resolves with what it has to say, `ok` and `output`; what is said is shown
 * where the check failed, and otherwise where it is `verbose`.
 */
async function step(name, check, { verbose = false } = {}) {
  const started = performance.now();
  const { ok, output, outcome = ok ? "passed" : "failed" } = await check();
  counts[outcome]++;
  print(`${outcome === "passed" ? "ok" : outcome.toUpperCase()}  ${name}  (${seconds(started)})`);
  if ((outcome !== "passed" || verbose) && output) print(output.trimEnd().replace(/^/gm, "    "));
  return ok;
}

/**
 * A server of each series that is to be had, oldest first, and why the others are not; no more than `most`.
 *
 * @typedef {{ bin: string, version: string }} Server
 * @returns {Promise<{ found: Server[], missing: { series: string, why: string }[] }>}
 */
async function findServers(most = allSeries.length) {
  const given = env.EV_TEST_ETCD;
  if (given) return { found: [{ bin: given, version: versionOf(given) }], missing: [] };
  const found = [];
  const missing = [];
  for (const series of allSeries) {
    try {
      if (found.length < most) found.push(await findEtcd({ series, log: print }));
    } catch (error) {
      missing.push({ series, why: error.message });
    }
  }
  // What there is may be of a later series.
  if (found.length === 0)
    found.push(
      ...(await findEtcd().then(
        (server) => [server],
        () => [],
      )),
    );
  return { found, missing };
}

/**
 * The servers to test on, each a step that says so. Where there is none, what needs one is skipped; with `CI=true` that
 * is a failure. Where one series is missing it is skipped, with `CI=true` as well: not every mirror has both.
 */
async function servers() {
  const { found, missing } = await findServers();
  for (const { version } of found) await step(`etcd ${version}`, () => ({ ok: true }));
  if (found.length === 0) {
    const output = `Every test that needs etcd is skipped.\n${missing[0].why}`;
    await step("etcd", () => ({ ok: false, outcome: env.CI === "true" ? "failed" : "skipped", output }));
    return [{ bin: "", version: "" }];
  }
  for (const { series, why } of missing) {
    const output = `Nothing is tested on etcd ${series}.\n${why}`;
    await step(`etcd ${series}`, () => ({ ok: false, outcome: "skipped", output }));
  }
  return found;
}

/** What the server calls its version; its path, where it does not tell. */
function versionOf(bin) {
  const said = spawnSync(bin, ["--version"], { encoding: "utf8" }).stdout ?? "";
  return /^etcd Version: (\S+)/m.exec(said)?.[1] ?? bin;
}

/** On what a step runs, for its name. */
function on({ version }) {
  return version === "" ? " without etcd" : ` on etcd ${version}`;
}

/** Runs the tests of the files that match `only`, or all; on `server`, or on what they find where that is not given. */
async function tests(name, only, server) {
  if (server !== undefined) env.EV_TEST_ETCD = server.bin;
  const started = performance.now();
  const file = join(temporary, "counts.json");
  env.EV_TEST_COUNTS = file;
  const options = ["--reporter=default", "--reporter=./scripts/vitest-counts.mjs"];
  const { ok } = await run([execPath, ["node_modules/vitest/vitest.mjs", "run", ...options, ...only]], "inherit");
  const result = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { passed: 0, failed: 0, skipped: 0 };
  rmSync(file, { force: true });
  counts.passed += result.passed;
  counts.skipped += result.skipped;
  // The runner may also fail before it gets to count, or for having found no test.
  counts.failed += ok ? result.failed : Math.max(result.failed, 1);
  print(`${ok ? "ok" : "FAILED"}  ${name}  (${seconds(started)})`);
}

/** No process, no temporary file, no change of the work tree. */
async function nothingLeft(before) {
  // What ends a server whose test did not comes a moment after the test process.
  const deadline = Date.now() + 10_000;
  const left = () => [
    ...readdirSync(temporary).map((name) => `the temporary file ${name}`),
    ...processes().map((name) => `the process ${name}`),
  ];
  while (left().length > 0 && Date.now() < deadline) await delay(50);
  const output = left();
  const after = gitStatus();
  if (after !== before) output.push(`a changed work tree:\n${after}`);
  return { ok: output.length === 0, output: output.join("\n") };
}

/** What runs with this run's folder in its environment, which every process has from the one that started it. */
function processes() {
  if (platform !== "linux") return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const inherited = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(`TMPDIR=${temporary}`);
        return inherited ? [`${pid}: ${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")}`] : [];
      } catch {
        return []; // It ended meanwhile, or is another user's.
      }
    });
}

function gitStatus() {
  return spawnSync("git", ["status", "--porcelain"], { cwd: root, encoding: "utf8" }).stdout ?? "";
}

/** Runs a script of package.json. */
function script(name) {
  return run(npm("run", "--silent", name));
}

/** Runs a command in the root; resolves with whether it succeeded and, unless it is shown as it comes, its output. */
function run([command, args], output = "pipe") {
  return new Promise((resolve) => {
    let written = "";
    running = spawn(command, args, { cwd: root, stdio: ["ignore", output, output], detached: true });
    for (const stream of [running.stdout, running.stderr]) {
      stream?.setEncoding("utf8").on("data", (text) => (written += text));
    }
    running.once("error", (error) => resolve({ ok: false, output: error.message }));
    running.once("close", (code) => resolve({ ok: code === 0, output: written }));
  });
}

function removeTemporary() {
  rmSync(temporary, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

function seconds(started) {
  return `${((performance.now() - started) / 1000).toFixed(1)} s`;
}

function print(line) {
  stdout.write(`${line}\n`);
}
