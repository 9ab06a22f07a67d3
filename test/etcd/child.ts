/**
 * A task in a Node process of its own, in which an unhandled rejection is fatal, as it is by default: to see what the
 * library leaves behind. The program is handed over as text, so that nothing is written anywhere.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { mutating } from "../mutations/esbuild.ts";

/** What a task is given. */
export interface Tools {
  readonly core: typeof import("../../src/index.ts");
  readonly etcd: typeof import("../../src/etcd/index.ts");
  readonly timers: typeof import("node:timers/promises");
  readonly endpoint: string;
  /** A prefix of keys that nobody else uses. */
  readonly prefix: string;
}

/** How a process ended. */
export interface Ended {
  /** What the task returned; undefined where it did not come to its end. */
  readonly result: unknown;
  readonly exitCode: number | null;
  /** Whether it had to be ended, or took its time to, when its task was done. */
  readonly hung: boolean;
  readonly stderr: string;
}

const mark = "result of the child: ";
let bundle: Promise<string> | undefined;

/**
 * The library as one text that, evaluated as a script, defines `library`. A mutation that EV_MUTATION names is in it as
 * well.
 */
export function compiled(): Promise<string> {
  bundle ??= build({
    stdin: {
      contents: `
        import * as core from "../../src/index.ts";
        import * as etcd from "../../src/etcd/index.ts";
        import * as timers from "node:timers/promises";
        export { core, etcd, timers };`,
      resolveDir: fileURLToPath(new URL(".", import.meta.url)),
      loader: "ts",
    },
    bundle: true,
    write: false,
    format: "iife",
    globalName: "library",
    platform: "node",
    target: "node20",
    logLevel: "silent",
    plugins: [mutating(process.env["EV_MUTATION"])],
  }).then(({ outputFiles }) => outputFiles[0]!.text);
  return bundle;
}

/** How a task's process is run. */
export interface ChildOptions {
  readonly nodeOptions?: readonly string[];
  /** @defaultValue 10000 */
  readonly timeoutMs?: number;
}

/** Runs `task`, which is taken as text: it sees what it is given and globals only. */
export async function inChild(
  task: (tools: Tools) => unknown,
  given: Pick<Tools, "endpoint" | "prefix">,
  { nodeOptions = [], timeoutMs = 10_000 }: ChildOptions = {},
): Promise<Ended> {
  const program = `${await compiled()}
    (${task.toString()})({ ...library, ...${JSON.stringify(given)} }).then((result) => {
      process.stdout.write(${JSON.stringify(mark)} + JSON.stringify(result ?? null));
    });`;
  const child = spawn(process.execPath, [...nodeOptions, "-"], { stdio: "pipe" });
  let stdout = "";
  let stderr = "";
  let hung = false;
  let done = Number.POSITIVE_INFINITY;
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    stdout += part;
    done = performance.now();
  });
  child.stderr.setEncoding("utf8").on("data", (part: string) => (stderr += part));
  child.stdin.end(program);
  const timer = setTimeout(() => {
    hung = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  clearTimeout(timer);
  hung ||= performance.now() - done > 2000;
  const at = stdout.lastIndexOf(mark);
  return {
    result: at < 0 ? undefined : (JSON.parse(stdout.slice(at + mark.length)) as unknown),
    exitCode,
    hung,
    stderr,
  };
}
