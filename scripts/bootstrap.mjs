/**
 * Installs the dependencies where they are missing or older than the lockfile, so that `npm start` and `npm test` work
 * in a fresh clone. Needs nothing but Node and npm.
 */
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { env, execPath, exit } from "node:process";
import { fileURLToPath } from "node:url";

/** The repository's root. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Returns once the dependencies are installed; ends the process with npm's own words where that fails. */
export function bootstrap() {
  // npm writes this file last, so that an installation that was broken off counts as missing.
  if (modified("node_modules/.package-lock.json") >= modified("package-lock.json")) return;
  console.error("installing dependencies: npm ci");
  const [command, args] = npm("ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error");
  const ci = spawnSync(command, args, { cwd: root, encoding: "utf8" });
  if (ci.status === 0) return;
  console.error(ci.error?.message ?? ci.stdout + ci.stderr);
  console.error("npm ci failed: the dependencies are not installed");
  exit(1);
}

/**
 * The command that runs npm: the one that runs this script, where one does.
 *
 * @returns {[command: string, args: string[]]}
 */
export function npm(...args) {
  const cli = env.npm_execpath ?? "";
  return cli.endsWith("npm-cli.js") ? [execPath, [cli, ...args]] : ["npm", args];
}

function modified(path) {
  return statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
