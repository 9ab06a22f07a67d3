/** An example in a process of its own, as a user runs it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

export class Example implements AsyncDisposable {
  output = "";
  errors = "";
  readonly #process: ChildProcess;
  readonly #closed: Promise<unknown>;

  /** Starts one of scripts/. */
  constructor(script: string, ...args: readonly string[]) {
    this.#process = spawn(process.execPath, [`scripts/${script}`, ...args], { cwd: root, stdio: "pipe" });
    this.#process.stdout!.setEncoding("utf8").on("data", (text: string) => (this.output += text));
    this.#process.stderr!.setEncoding("utf8").on("data", (text: string) => (this.errors += text));
    this.#closed = once(this.#process, "close");
  }

  /** Resolves with the exit code. */
  async ended(): Promise<number | null> {
    await this.#closed;
    return this.#process.exitCode;
  }

  /** Resolves when the process has printed `text`, after `from` characters of its output. */
  async printed(text: string, from = 0): Promise<void> {
    await until(
      () => this.output.includes(text, from),
      () => `no "${text}" in:\n${this.output.slice(from)}${this.errors}`,
    );
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Ends it in an orderly way, so that no entry of it is left in a store. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGTERM");
    await this.#closed;
  }
}

/** Waits for `condition`, and throws what `explain` tells where it does not come to hold. */
export async function until(condition: () => boolean, explain: () => string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(explain());
    await delay(10);
  }
}
