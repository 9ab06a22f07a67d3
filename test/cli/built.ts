/** The command line as users get it: compiled, in a process of its own. */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** How a process ended, and all that it wrote. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** What the process reads; its end follows. Without it, stdin stays open. */
  readonly input?: string | Uint8Array;
}

/** The package, compiled into a folder of its own: `dist/` may be missing or old, and is not touched. */
export class Built implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "event-value-cli-"));
  readonly main: string = join(this.folder, "dist/cli/main.js");
  /** What every process gets. */
  env: Readonly<Record<string, string>> = {};
  readonly #running = new Set<Running>();

  constructor() {
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    execFileSync(process.execPath, [
      tsc,
      "-p",
      join(root, "tsconfig.build.json"),
      "--outDir",
      join(this.folder, "dist"),
    ]);
    copyFileSync(join(root, "package.json"), join(this.folder, "package.json"));
    symlinkSync(join(root, "node_modules"), join(this.folder, "node_modules"));
  }

  /** Runs `event-value` to its end. */
  run(args: readonly string[], options: StartOptions = {}): Promise<Ended> {
    return this.start(args, { input: "", ...options }).ended;
  }

  /** Starts `event-value`. */
  start(args: readonly string[], options?: StartOptions): Running {
    return this.startCommand(process.execPath, [this.main, ...args], options);
  }

  /** Starts any command with the same environment. */
  startCommand(command: string, args: readonly string[], { env, input }: StartOptions = {}): Running {
    const { PATH = "", TMPDIR = "/tmp" } = process.env;
    const child = spawn(command, args, { cwd: this.folder, env: { PATH, TMPDIR, ...this.env, ...env } });
    if (input !== undefined) child.stdin.end(input);
    const running = new Running(child);
    this.#running.add(running);
    void running.ended.then(() => this.#running.delete(running));
    return running;
  }

  [Symbol.dispose](): void {
    for (const running of this.#running) running.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Whether there is such a process, for whose end somebody waits. */
export function isRunning(pid: number | undefined): boolean {
  try {
    return pid !== undefined && process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** A process that runs. */
export class Running {
  stdout = "";
  stderr = "";
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting = new Set<() => void>();

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    child.stdin.on("error", () => {});
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
      this.#check();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.#check();
    });
    this.ended = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => {
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
        this.#check();
      });
    });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Whether it has ended. */
  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The lines on stdout, parsed. */
  get objects(): unknown[] {
    return this.stdout
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as unknown);
  }

  /** Resolves when `condition` holds, which is asked again after each piece of output. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (condition()) resolve();
        else if (this.hasEnded) reject(new Error(`it has ended with ${JSON.stringify(this.stdout + this.stderr)}`));
        else return;
        this.#waiting.delete(check);
      };
      this.#waiting.add(check);
      check();
    });
  }

  /** Types, or writes into the pipe. */
  type(text: string): void {
    this.#child.stdin.write(text);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Reads no more of stdout until what is returned is called. */
  pause(): () => void {
    this.#child.stdout.pause();
    return () => void this.#child.stdout.resume();
  }

  /** Goes away as a reader of stdout. */
  leave(): void {
    this.#child.stdout.destroy();
  }

  #check(): void {
    for (const check of this.#waiting) check();
  }
}
