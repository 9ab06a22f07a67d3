/** A plugin of esbuild's that makes a mutation in what it compiles; none where none is named. */
import { readFile } from "node:fs/promises";
import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { Plugin } from "esbuild";
import { mutate } from "./mutations.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));

export function mutating(mutation: string | undefined): Plugin {
  return {
    name: "event-value:mutating",
    setup({ onLoad }) {
      if (!mutation) return;
      onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const file = relative(root, path).split(sep).join("/");
        return { contents: mutate(mutation, file, await readFile(path, "utf8")), loader: "ts" };
      });
    },
  };
}
