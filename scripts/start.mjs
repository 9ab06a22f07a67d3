/**
 * `npm start`: runs examples/host-directory, and installs and builds before that what is missing or out of date.
 *
 * The example imports `event-value` as a user does, and so runs on what is built in dist/. It is compiled to
 * .cache/examples/. Needs nothing but Node and npm.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { execPath, exit } from "node:process";
import { pathToFileURL } from "node:url";
import { bootstrap, root } from "./bootstrap.mjs";

const library = "dist/index.js";
const example = ".cache/examples/host-directory/main.js";

bootstrap();
if (newest("src", "tsconfig.json", "tsconfig.build.json") > newest(library)) build(library, "scripts/build.mjs");
if (newest("examples", "tsconfig.json", library) > newest(example)) {
  build(example, "node_modules/typescript/bin/tsc", "-p", "examples/tsconfig.build.json");
}
await import(pathToFileURL(join(root, example)).href);

/** When the newest of these files and folders was changed; 0 where there is none. */
function newest(...paths) {
  return Math.max(
    0,
    ...paths.map((path) => {
      const found = statSync(join(root, path), { throwIfNoEntry: false });
      if (found?.isDirectory()) return newest(...readdirSync(join(root, path)).map((name) => join(path, name)));
      return found?.mtimeMs ?? 0;
    }),
  );
}

/** Runs the script that makes `made`. Where that fails the process ends, and the next start tries again. */
function build(made, ...script) {
  if (spawnSync(execPath, script, { cwd: root, stdio: "inherit" }).status === 0) return;
  rmSync(join(root, made), { force: true });
  exit(1);
}
