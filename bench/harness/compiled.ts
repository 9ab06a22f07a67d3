/**
 * The contenders of a question and all that they import from the project in one file, which a process of theirs loads in
 * 0.4 s; by way of scripts/typescript.mjs, file by file, it takes 0.9.
 */
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const folder = fileURLToPath(new URL("../../.cache/bench/", import.meta.url));
const made = new Map<string, Promise<string>>();

/** The file for a module, given by its URL, that exports `contenders`. */
export function compiled(module: string): Promise<string> {
  let file = made.get(module);
  if (file === undefined) made.set(module, (file = compile(fileURLToPath(module))));
  return file;
}

async function compile(path: string): Promise<string> {
  const outfile = `${folder}${basename(path, ".ts")}.mjs`;
  await build({
    stdin: { contents: `export { contenders } from ${JSON.stringify(path)};`, resolveDir: dirname(path) },
    outfile,
    bundle: true,
    // The library as well: it is measured as it is built.
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "error",
  });
  return outfile;
}
