/**
 * The code of the documentation compiles, runs, ends by itself and prints what it says: the ```` ```ts ```` blocks of
 * README.md and docs/, and the examples of the public doc comments in src/.
 *
 * A trailing comment of a `console.log` is what it prints; where it runs several times, the outputs one after the
 * other. A block marked ```` ```ts no-run ```` is compiled only. `http://127.0.0.1:2379` is an etcd, empty at first.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EtcdServer, etcdAvailable, startEtcd } from "../support/etcd.ts";
import { type Block, blocksOfMarkdown, blocksOfModule, instrument } from "./extract.ts";

const root = join(import.meta.dirname, "../..");
const placeholder = "http://127.0.0.1:2379";
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const isPublic = (file: string): boolean => !/^src\/(internal|cli)\/|\/generated\//.test(file);

const blocks: readonly Block[] = [
  ...["README.md", ...filesIn("docs", ".md")]
    .filter((file) => existsSync(join(root, file)))
    .flatMap((file) => blocksOfMarkdown(file, read(file))),
  ...filesIn("src", ".ts")
    .filter(isPublic)
    .flatMap((file) => blocksOfModule(file, read(file))),
];
const usesEtcd = (block: Block): boolean => block.code.includes(placeholder);

describe("the code of the documentation", () => {
  const cache = join(root, ".cache");
  let folder: string;
  let etcd: EtcdServer | undefined;
  let errors: ReadonlyMap<Block, readonly string[]>;

  beforeAll(async () => {
    if (etcdAvailable && blocks.some((block) => block.runs && usesEtcd(block))) etcd = await startEtcd();
    // Below the root, so that the library's dependencies are found from there.
    mkdirSync(cache, { recursive: true });
    folder = mkdtempSync(join(cache, "docs-"));
    writeBlocks(folder, etcd?.endpoint ?? placeholder);
    errors = compile(folder);
  });
  afterAll(async () => {
    await etcd?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  it("is there", () => {
    expect(blocks.length).toBeGreaterThan(0);
  });

  for (const [i, block] of blocks.entries()) {
    describe(`${block.file}:${block.line}`, () => {
      it("compiles", () => {
        expect(errors.get(block) ?? []).toEqual([]);
      });

      if (!block.runs) return;
      it.skipIf(usesEtcd(block) && !etcdAvailable)("runs, ends, and prints what it says", async () => {
        if (usesEtcd(block)) await etcd?.call("/v3/kv/deleterange", { key: "AA==", range_end: "AA==" });
        const { code, stderr, outputs } = await run(folder, i);
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
        const { claims } = instrument(block.code);
        const printed = claims.map((_, n) => outputs.filter(({ claim }) => claim === n).map((output) => output.text));
        expect(claims.map(({ line }, n) => [block.line + line - 1, oneLine(printed[n]?.join(" ") ?? "")])).toEqual(
          claims.map(({ line, output }) => [block.line + line - 1, oneLine(output)]),
        );
      });
    });
  }
});

/** The files of a folder that end in `suffix`, from the repository's root. */
function filesIn(folder: string, suffix: string): string[] {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
  return names
    .filter((name) => name.endsWith(suffix))
    .map((name) => `${folder}/${name}`)
    .sort();
}

/**
 * Lays out a project of one module a block. What it compiles to, in out/, is a package named like this one, so that
 * the blocks import the library by its name, compiled from the sources as they are.
 */
function writeBlocks(folder: string, endpoint: string): void {
  const exported = JSON.parse(read("package.json")) as { exports: Record<string, { default?: string }> };
  const sources = Object.entries(exported.exports).flatMap(([subpath, target]) =>
    target.default === undefined ? [] : [[subpath, target.default.replace("./dist/", "./src/")] as const],
  );
  const up = relative(folder, root);
  const config = {
    extends: `${up}/tsconfig.json`,
    compilerOptions: {
      noEmit: false,
      declaration: false,
      isolatedDeclarations: false,
      moduleDetection: "force",
      // An example may show what to import without using it all.
      noUnusedLocals: false,
      rootDir: up,
      outDir: "out",
      paths: Object.fromEntries(
        sources.map(([subpath, file]) => [`event-value${subpath.slice(1)}`, [join(up, file.replace(/\.js$/, ".ts"))]]),
      ),
    },
    include: ["blocks"],
  };
  mkdirSync(join(folder, "blocks"));
  mkdirSync(join(folder, "out"));
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  writeFileSync(
    join(folder, "out/package.json"),
    JSON.stringify({ name: "event-value", type: "module", exports: Object.fromEntries(sources) }),
  );
  writeFileSync(
    join(folder, "claim.mjs"),
    `import { writeSync } from "node:fs";
    import { format } from "node:util";
    console.claim = (claim) => ({
      log: (...values) => void writeSync(3, JSON.stringify({ claim, text: format(...values) }) + "\\n"),
    });`,
  );
  writeFileSync(join(folder, "blocks/claim.d.ts"), "interface Console { claim(index: number): Console }");
  for (const [i, block] of blocks.entries()) {
    const { code } = instrument(block.code.replaceAll(placeholder, endpoint));
    writeFileSync(join(folder, `blocks/${i}.ts`), `${code}\n`);
  }
}

/** The compiler's errors in each block, with their place in the documentation. */
function compile(folder: string): Map<Block, string[]> {
  const errors = new Map<Block, string[]>();
  try {
    execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "--pretty", "false"], {
      cwd: folder,
      encoding: "utf8",
    });
  } catch (error) {
    const { stdout } = error as { stdout: string };
    for (const [, i, line, message] of stdout.matchAll(/^blocks\/(\d+)\.ts\((\d+),\d+\): (.*(?:\n .*)*)/gm)) {
      const block = blocks[Number(i)] as Block;
      errors.set(block, [...(errors.get(block) ?? []), `${block.file}:${block.line + Number(line) - 1} ${message}`]);
    }
    // Errors elsewhere are in the sources, and the check of the whole project reports them.
    if (!/^(blocks|\.\.)\//m.test(stdout)) throw error;
  }
  return errors;
}

async function run(
  folder: string,
  block: number,
): Promise<{ code: number | string; stderr: string; outputs: { claim: number; text: string }[] }> {
  const module = join(folder, "out", relative(root, folder), `blocks/${block}.js`);
  const child = spawn(process.execPath, ["--no-warnings", "--import", join(folder, "claim.mjs"), module], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
    timeout: 30_000,
    killSignal: "SIGKILL",
  });
  const [stderr, claimed, [code, signal]] = await Promise.all([
    text(child.stderr as Readable),
    text(child.stdio[3] as Readable),
    once(child, "close") as Promise<[number | null, string | null]>,
  ]);
  const outputs = claimed.split("\n").filter(Boolean);
  return {
    code: code ?? `${signal}: it does not end`,
    stderr,
    outputs: outputs.map((line) => JSON.parse(line) as { claim: number; text: string }),
  };
}

function oneLine(output: string): string {
  return output.replaceAll(/\s+/g, " ").trim();
}
