/** Finds the code of the documentation: what it says, where it stands, and what it claims to print. */

/** One block of code. */
export interface Block {
  /** The file it stands in, from the repository's root. */
  readonly file: string;
  /** The line of the file that its first line is. */
  readonly line: number;
  readonly code: string;
  /** Whether it can be run; `ts no-run` blocks are compiled only. */
  readonly runs: boolean;
}

/** Every ```` ```ts ```` block of a Markdown text. */
export function blocksOfMarkdown(file: string, text: string): Block[] {
  return fences(file, text.split("\n"), 1);
}

/** Every ```` ```ts ```` block below an `@example` of the doc comments of a module, but for those marked `@internal`. */
export function blocksOfModule(file: string, text: string): Block[] {
  return [...text.matchAll(/^[ \t]*\/\*\*.*?\*\//gms)].flatMap(({ 0: comment, index }) => {
    const example = comment.indexOf("@example");
    if (example === -1 || /@internal\b/.test(comment)) return [];
    const line = lineAt(text, index + example);
    const lines = comment.slice(example).split("\n");
    return fences(
      file,
      lines.map((l) => l.replace(/^\s*\* ?/, "")),
      line,
    );
  });
}

function fences(file: string, lines: readonly string[], firstLine: number): Block[] {
  const blocks: Block[] = [];
  let open: { indent: string; start: number; runs: boolean } | undefined;
  for (const [i, line] of lines.entries()) {
    if (open === undefined) {
      const [, indent = "", info] = /^( *)```ts\b(.*)$/.exec(line) ?? [];
      if (info !== undefined) open = { indent, start: i + 1, runs: !/\bno-run\b/.test(info) };
    } else if (line.trim() === "```") {
      const { indent, start, runs } = open;
      const code = lines.slice(start, i).map((l) => (l.startsWith(indent) ? l.slice(indent.length) : l));
      blocks.push({ file, line: firstLine + start, code: code.join("\n"), runs });
      open = undefined;
    }
  }
  return blocks;
}

/** A `console.log(…); // output` of a block. */
export interface Claim {
  /** The line of the block on which the call begins, from 1. */
  readonly line: number;
  /** What the block says that all its outputs are, one after the other. */
  readonly output: string;
}

/**
 * Finds the claims of a block, and makes each call that bears one say so: `console.log(…)` becomes
 * `console.claim(i).log(…)`, where `i` counts the claims. The lines stay what they are.
 */
export function instrument(code: string): { code: string; claims: Claim[] } {
  const claims: Claim[] = [];
  const call = "console.log(";
  let instrumented = "";
  let done = 0;
  for (let at = code.indexOf(call); at !== -1; at = code.indexOf(call, at + 1)) {
    const end = endOfCall(code, at + call.length);
    const [, output] = /^[;,)} ]*\/\/ ?(.*)/.exec(code.slice(end)) ?? [];
    if (output === undefined) continue;
    instrumented += `${code.slice(done, at)}console.claim(${claims.length}).log(`;
    done = at + call.length;
    claims.push({ line: lineAt(code, at), output: output.trim() });
  }
  return { code: instrumented + code.slice(done), claims };
}

/** Where the call whose arguments begin at `start` ends. Parentheses in strings do not count, unless templates nest. */
function endOfCall(code: string, start: number): number {
  let depth = 1;
  const tokens = /[()]|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`/gs;
  tokens.lastIndex = start;
  for (let token = tokens.exec(code); token !== null; token = tokens.exec(code)) {
    if (token[0] === "(") depth++;
    if (token[0] === ")" && --depth === 0) return tokens.lastIndex;
  }
  return code.length;
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}
