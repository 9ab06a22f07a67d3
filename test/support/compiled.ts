/**
 * The core, compiled to one module: for processes of its own, and with a place of its source replaced (a mutant).
 * The modules are `data:` URLs, so that nothing is written anywhere.
 */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build as compile, type Plugin } from "esbuild";

/** Everything the core exports. */
export type Core = typeof import("../../src/index.ts");

/** A place in a source file, and what stands there instead. */
export interface Replacement {
  /** The file, from `src/`. */
  readonly file: string;
  /** The text that is there, exactly once. */
  readonly right: string;
  readonly instead: string;
}

const root = fileURLToPath(new URL("../../src/", import.meta.url));

/** The URL of the core as one module. Throws where a text to replace is not there exactly once. */
async function compileCore(replacements: readonly Replacement[] = []): Promise<string> {
  const sources = new Map<string, string>();
  for (const { file, right, instead } of replacements) {
    const path = root + file;
    const source = sources.get(path) ?? (await readFile(path, "utf8"));
    if (source.split(right).length !== 2) throw new Error(`not there exactly once in ${file}: ${right}`);
    sources.set(
      path,
      source.replace(right, () => instead),
    );
  }
  const replace: Plugin = {
    name: "replace",
    setup(build) {
      build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const contents = sources.get(path);
        return contents === undefined ? undefined : { contents, loader: "ts" };
      });
    },
  };
  const { outputFiles } = await compile({
    entryPoints: [`${root}index.ts`],
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    plugins: [replace],
    logLevel: "silent",
  });
  return `data:text/javascript;base64,${Buffer.from(outputFiles[0]!.contents).toString("base64")}`;
}

/** The core with `replacements` made, loaded beside the real one. */
export async function loadCore(replacements?: readonly Replacement[]): Promise<Core> {
  return (await import(/* @vite-ignore */ await compileCore(replacements))) as Core;
}

/** What a function run in a process of its own is given. */
export interface Child {
  readonly core: Core;
  readonly events: typeof import("node:events");
  readonly timers: typeof import("node:timers/promises");
}

/** How such a process is started. */
export interface ChildOptions {
  readonly nodeOptions?: readonly string[];
  /** Statements that run before the core is loaded. */
  readonly prelude?: string;
}

/** How such a process ended. */
export interface Ended<R> {
  /** What the function returned; undefined where it did not. */
  readonly result: R | undefined;
  readonly exitCode: number | null;
  readonly stderr: string;
}

const resultMark = "result of the child: ";

/**
 * Runs `task` in a Node process of its own, in which an unhandled rejection is fatal, as it is by default. `task` is
 * taken as text: it sees what it is given and globals only.
 */
async function inChild<R>(task: (child: Child) => R | Promise<R>, options: ChildOptions = {}): Promise<Ended<R>> {
  const program = `
    ${options.prelude ?? ""}
    const core = await import(${JSON.stringify(await compileCore())});
    const events = await import("node:events");
    const timers = await import("node:timers/promises");
    const result = await (${task.toString()})({ core, events, timers });
    process.stdout.write(${JSON.stringify(resultMark)} + JSON.stringify(result ?? null));
  `;
  const child = spawn(process.execPath, [...(options.nodeOptions ?? []), "--input-type=module", "-"], {
    stdio: "pipe",
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (stdout += part));
  child.stderr.setEncoding("utf8").on("data", (part: string) => (stderr += part));
  child.stdin.end(program);
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  const at = stdout.lastIndexOf(resultMark);
  return {
    result: at < 0 ? undefined : (JSON.parse(stdout.slice(at + resultMark.length)) as R),
    exitCode,
    stderr: stderr.replaceAll(/data:text\/javascript;base64,[^:\s]*/g, "core"),
  };
}

/** The result of `task`, run as {@link inChild} does; throws with what the process wrote where it failed. */
export async function resultInChild<R>(task: (child: Child) => R | Promise<R>, options?: ChildOptions): Promise<R> {
  const { result, exitCode, stderr } = await inChild(task, options);
  if (exitCode !== 0 || result === undefined) throw new Error(`the child process failed (${exitCode}): ${stderr}`);
  return result;
}
