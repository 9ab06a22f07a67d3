import { describe, expect, it } from "vitest";
import { blocksOfMarkdown, blocksOfModule, instrument } from "./extract.ts";

describe("blocksOfMarkdown", () => {
  it("finds the blocks in ts, with their lines, and which of them run", () => {
    const text = [
      "# Title",
      "```ts",
      "one();",
      "",
      "two();",
      "```",
      "```sh",
      "npm start",
      "```",
      "1. item",
      "   ```ts no-run",
      "   three();",
      "   ```",
    ].join("\n");
    expect(blocksOfMarkdown("a.md", text)).toEqual([
      { file: "a.md", line: 3, code: "one();\n\ntwo();", runs: true },
      { file: "a.md", line: 12, code: "three();", runs: false },
    ]);
  });
});

describe("blocksOfModule", () => {
  it("finds the examples of doc comments, but for internal ones", () => {
    const text = [
      "/**",
      " * Not an example:",
      " * ```ts",
      " * zero();",
      " * ```",
      " */",
      "export class A {",
      "  /**",
      "   * @example",
      "   * ```ts",
      "   * one({",
      "   *   deep: 1,",
      "   * });",
      "   * ```",
      "   */",
      "  b = 1;",
      "}",
      "/** Hidden. @internal @example",
      " * ```ts",
      " * two();",
      " * ```",
      " */",
    ].join("\n");
    expect(blocksOfModule("a.ts", text)).toEqual([
      { file: "a.ts", line: 11, code: "one({\n  deep: 1,\n});", runs: true },
    ]);
  });
});

describe("instrument", () => {
  it.each([
    ["console.log(1);", []],
    ["console.log(1); // 1", [{ line: 1, output: "1" }]],
    ["\nconsole.log(f(')', (2)), `(`); // a b", [{ line: 2, output: "a b" }]],
    ["console.log(\n  1,\n  2,\n); // 1 2", [{ line: 1, output: "1 2" }]],
    ["for (;;) { console.log(1) } // 1", [{ line: 1, output: "1" }]],
    ["queueMicrotask(() => console.log(1)); // 1", [{ line: 1, output: "1" }]],
    ["console.log(1);\n// a remark\nconsole.log(2); // 2", [{ line: 3, output: "2" }]],
  ])("finds what %j says that it prints", (code, claims) => {
    const result = instrument(code);
    expect(result.claims).toEqual(claims);
    expect(result.code.replaceAll(/console\.claim\(\d\)/g, "console")).toBe(code);
    expect(result.code.match(/claim/g) ?? []).toHaveLength(claims.length);
  });
});
