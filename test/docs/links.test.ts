/** What the documentation points to is there; where the link's text is code, it stands in that file. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
const files = ["README.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)];

for (const file of files.filter((name) => name.endsWith(".md"))) {
  describe(`the links of ${file}`, () => {
    const links = [...readFileSync(join(root, file), "utf8").matchAll(/\[([^\]]+)\]\(([^)]+)\)/g)];
    for (const [, label = "", target = ""] of links.filter(([, , to]) => !/^[a-z]+:|^#/.test(to ?? ""))) {
      it(`lead somewhere: ${label} -> ${target}`, () => {
        const path = join(root, dirname(file), target.replace(/#.*$/, ""));
        expect(existsSync(path), `${target} does not exist`).toBe(true);
        const [, quoted] = /^`(.+)`$/.exec(label) ?? [];
        if (quoted === undefined || !statSync(path).isFile()) return;
        expect(readFileSync(path, "utf8"), `${target} does not mention ${quoted}`).toContain(quoted);
      });
    }
  });
}
