/** What is out of date. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { root } from "./bootstrap.mjs";

/** When the newest of these files and folders was changed; 0 where there is none. */
export function newest(...paths) {
  return Math.max(
    0,
    ...paths.map((path) => {
      const entry = statSync(join(root, path), { throwIfNoEntry: false });
      if (entry?.isDirectory()) return newest(...readdirSync(join(root, path)).map((each) => join(path, each)));
      return entry?.mtimeMs ?? 0;
    }),
  );
}

/** Whether dist/ is older than what it is built from, or missing. */
export function isOutdated() {
  return newest("src", "tsconfig.json", "tsconfig.build.json") > newest("dist/index.js");
}
