/** Lets Node load the project's TypeScript, by esbuild: `register()` this before what it is to import. */
import { readFile } from "node:fs/promises";
import { register as registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";

export function register() {
  registerHooks(import.meta.url);
}

export async function load(url, context, next) {
  if (!url.startsWith("file:") || !url.endsWith(".ts")) return next(url, context);
  const path = fileURLToPath(url);
  const options = { loader: "ts", target: "node20", sourcefile: path, sourcemap: "inline" };
  const { code } = await transform(await readFile(path, "utf8"), options);
  return { format: "module", source: code, shortCircuit: true };
}
