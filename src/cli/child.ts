/** A command that the program runs for its user, on the same terminal. */
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { formatDuration } from "./args.ts";
import { exitCodes, Failure } from "./exit.ts";
import { explainFileError } from "./explain.ts";
import type { Program } from "./program.ts";
import { toJson } from "./text.ts";

/** A command and its arguments. */
export type CommandLine = readonly [file: string, ...args: string[]];

export interface ChildOptions {
  /** Added to the program's own environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Aborting stops the command. */
  readonly signal: AbortSignal;
  /** What is left to it to end by itself then. */
  readonly graceMs: number;
}

/**
 * Runs a command to its end, with the program's stdin, stdout and stderr; resolves with its exit code, which is 128 and
 * the number of the signal where one ended it, as shells have it. Stopped, it is sent SIGTERM, and SIGKILL after
 * `graceMs`. It does not outlive the program: where that ends at once, it is killed.
 *
 * @throws {@link Failure} where it cannot be run; `signal.reason` where that is aborted before
 */
export async function runChild(
  program: Program,
  [file, ...args]: CommandLine,
  { env, signal, graceMs }: ChildOptions,
): Promise<number> {
  signal.throwIfAborted();
  let child: ChildProcess;
  try {
    child = spawn(file, args, { stdio: "inherit", env: { ...program.env, ...env } });
  } catch (error) {
    throw cannotRun(file, error);
  }
  const forget = program.atEnd(() => child.kill("SIGKILL"));
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    child.kill("SIGTERM");
    timer = setTimeout(() => {
      program.note(`${toJson(file)} has not ended within ${formatDuration(graceMs)}, and is killed`);
      child.kill("SIGKILL");
    }, graceMs);
  };
  signal.addEventListener("abort", stop);
  try {
    return await new Promise((resolve, reject) => {
      child.on("error", (error) => {
        // A command that runs fails only to be signalled, if it has become another user's: then its end is waited for.
        if (child.pid === undefined) reject(cannotRun(file, error));
      });
      child.on("exit", (code, by) => resolve(by === null ? (code ?? 0) : 128 + constants.signals[by]));
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    forget();
  }
}

function cannotRun(file: string, cause: unknown): Failure {
  return new Failure(exitCodes.failed, `cannot run ${toJson(file)}: ${whyNot(cause)}`, { cause });
}

function whyNot(cause: unknown): string {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === "ENOENT") return "no such command";
  if (code === "E2BIG") return "its arguments and its environment are too long";
  return explainFileError(cause);
}
