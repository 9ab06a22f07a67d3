/**
 * The process, as commands see it: where to write, and how to end.
 *
 * However the program ends, what it did to the terminal is undone first. Interrupted, it ends at once: nothing waits
 * for the store, whose connections end with the process. What has more to do then says so by `untilInterrupted`.
 */
import { constants } from "node:os";
import type { ReadStream, WriteStream } from "node:tty";
import { failureOf } from "./explain.ts";
import { exitCodes, Failure, ReaderGone } from "./exit.ts";

export class Program {
  readonly env: Readonly<Record<string, string | undefined>> = process.env;
  /** What the user has to know if the program is interrupted now. */
  caution: string | undefined;
  readonly #undo = new Set<() => void>();
  /** What an interrupt aborts instead of ending the program; the reason is the name of the signal. */
  #interruptible: AbortController | undefined;
  /** When it was aborted. */
  #interruptedAt = 0;

  constructor() {
    // Who writes is told; without a listener it would be an uncaught exception as well.
    for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => this.interrupt(signal));
    process.on("uncaughtException", (error) => this.exit(this.fail(error)));
  }

  /** Only touched by who reads it: opening it keeps the process alive. */
  get stdin(): ReadStream {
    return process.stdin;
  }

  get stdout(): WriteStream {
    return process.stdout;
  }

  /** Resolves when the reader of stdout has room for more. @throws {@link ReaderGone}, {@link Failure} */
  async print(text: string | Uint8Array): Promise<void> {
    const error = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) => {
      process.stdout.write(text, resolve);
    });
    if (error == null) return;
    if (error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED")
      throw new ReaderGone("stdout", { cause: error });
    throw new Failure(exitCodes.failed, `cannot write to stdout: ${error.message}`, { cause: error });
  }

  /** Tells the user something, in one line on stderr. */
  note(line: string): void {
    process.stderr.write(`event-value: ${line}\n`);
  }

  /** Asks the user something: the cursor stays behind it. */
  ask(question: string): void {
    process.stderr.write(question);
  }

  /** Runs `undo` before the program ends, unless what is returned was called, which runs it then. */
  atEnd(undo: () => void): () => void {
    this.#undo.add(undo);
    return () => {
      if (this.#undo.delete(undo)) undo();
    };
  }

  /** Tells of an error; returns the exit code. */
  fail(error: unknown): number {
    if (error instanceof ReaderGone) return exitCodes.ok;
    this.#restore();
    const { exitCode, message } = failureOf(error);
    this.note(message);
    return exitCode;
  }

  /**
   * Runs `work`, whose signal an interrupt aborts. When that has settled, the program ends as interrupted; by a second
   * interrupt it ends at once.
   */
  async untilInterrupted<T>(work: (interrupted: AbortSignal) => Promise<T>): Promise<T> {
    const { signal } = (this.#interruptible = new AbortController());
    try {
      const result = await work(signal);
      if (!signal.aborted) return result;
    } catch (error) {
      if (!signal.aborted) throw error;
      if (error !== signal.reason) this.fail(error);
    } finally {
      this.#interruptible = undefined;
    }
    return this.#die(signal.reason as Interrupt);
  }

  /** Ends the process as `signal` does, unless something is to be done first. */
  interrupt(signal: Interrupt): void {
    const work = this.#interruptible;
    const now = performance.now();
    if (work === undefined || (work.signal.aborted && now - this.#interruptedAt > repeatMs)) this.#die(signal);
    if (work.signal.aborted) return;
    this.#interruptedAt = now;
    work.abort(signal);
  }

  #die(signal: Interrupt): never {
    this.#restore();
    if (this.caution !== undefined) this.note(`interrupted: ${this.caution}`);
    // To exit is to wait for the threads that look up a name or open a file, for many seconds in the worst case.
    // Dying of the signal does not, and shells report the same status.
    if (process.getActiveResourcesInfo().some((name) => threaded.test(name))) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    }
    process.exit(128 + constants.signals[signal]);
  }

  /** Ends the process; all that was printed has been taken by then. */
  exit(code: number): never {
    this.#restore();
    process.exit(code);
  }

  #restore(): void {
    for (const undo of this.#undo) {
      this.#undo.delete(undo);
      undo();
    }
  }
}

/** One Ctrl-C may come twice: npx hands on what the terminal has sent to both. */
const repeatMs = 500;

/** What interrupts the program. */
type Interrupt = "SIGINT" | "SIGTERM" | "SIGHUP";

/** What Node calls the resources that keep one of its threads busy. */
const threaded = /^(GetAddrInfoReqWrap|GetNameInfoReqWrap|FSReq\w*)$/;
