/**
 * `npm run example -- NAME [options]`: runs an example, and installs and builds before that what is missing or out of
 * date. Without a name it lists them.
 *
 * An example imports `event-value` as a user does, and so runs on what is built in dist/. It is compiled to
 * .cache/examples/. Needs nothing but Node and npm.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { argv, execPath, exit, kill, pid } from "node:process";
import { pathToFileURL } from "node:url";
import { bootstrap, root } from "./bootstrap.mjs";
import { isOutdated, newest } from "./newest.mjs";

const library = "dist/index.js";
const compiled = ".cache/examples/compiled";
const lock = join(root, ".cache/examples.lock");

const [name = ""] = argv.splice(2, 1);
const found = [`${name}.ts`, `${name}/main.ts`].find((file) => /^[\w-]+$/.test(name) && isFile(`examples/${file}`));
if (found === undefined) {
  console.error(`usage: npm run example -- NAME [--store URL]\n\n${list()}`);
  exit(2);
}
prepare();
await import(pathToFileURL(join(root, ".cache/examples", found.replace(/\.ts$/, ".js"))).href);

/** Makes what is to be made, one process at a time: several may be started at once. */
function prepare() {
  mkdirSync(join(root, ".cache"), { recursive: true });
  while (!take()) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  try {
    bootstrap();
    if (isOutdated()) build(library, "scripts/build.mjs");
    if (newest("examples", "tsconfig.json", library) > newest(compiled)) {
      build(compiled, "node_modules/typescript/bin/tsc", "-p", "examples/tsconfig.build.json");
      writeFileSync(join(root, compiled), "");
    }
  } finally {
    rmSync(lock, { force: true });
  }
}

/** Whether the lock is ours now. One that a process has left behind is removed. */
function take() {
  try {
    writeFileSync(lock, String(pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  try {
    kill(Number(readFileSync(lock, "utf8")), 0);
  } catch (error) {
    if (error.code === "ESRCH") rmSync(lock, { force: true });
  }
  return false;
}

/** Runs the script that makes `made`. Where that fails the process ends, and the next start tries again. */
function build(made, ...script) {
  if (spawnSync(execPath, script, { cwd: root, stdio: "inherit" }).status === 0) return;
  for (const path of [join(root, made), lock]) rmSync(path, { force: true });
  exit(1);
}

/** The examples, each with the first line of what it says of itself. */
function list() {
  const names = readdirSync(join(root, "examples")).map((entry) => entry.replace(/\.ts$/, ""));
  return names
    .flatMap((each) => {
      const file = [`examples/${each}.ts`, `examples/${each}/main.ts`].find(isFile);
      if (file === undefined) return [];
      const [, summary] = /^\/\*\*\n \* (.*)/.exec(readFileSync(join(root, file), "utf8")) ?? [];
      return [`  ${each.padEnd(20)}${summary}`];
    })
    .join("\n");
}

function isFile(path) {
  return existsSync(join(root, path)) && statSync(join(root, path)).isFile();
}
