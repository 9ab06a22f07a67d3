/** Waiting between attempts: exponential, with jitter, so that many who failed together do not come back together. */
import { AbortEntry } from "./abort.ts";

/** The longest a timer can run. */
export const mostMs: number = 2 ** 31 - 1;

/** The delays of one series of attempts. */
export class Backoff {
  readonly #firstMs: number;
  readonly #mostMs: number;
  #nextMs: number;

  constructor(firstMs = 50, mostMs = 2000) {
    this.#firstMs = this.#nextMs = firstMs;
    this.#mostMs = mostMs;
  }

  /** After a success: the next delay is the first again. */
  reset(): void {
    this.#nextMs = this.#firstMs;
  }

  /** Waits for the next delay, between half of it and all of it. Rejects with `signal.reason` on abort. */
  async wait(signal: AbortSignal): Promise<void> {
    const delayMs = this.#nextMs * (0.5 + Math.random() / 2);
    this.#nextMs = Math.min(this.#nextMs * 2, this.#mostMs);
    await sleep(delayMs, signal);
  }
}

/** Resolves after `ms` milliseconds; rejects with `signal.reason` on abort. Leaves no timer behind. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const entry = new AbortEntry((reason) => {
      clearTimeout(timer);
      reject(reason);
    }).await(signal);
    const timer = setTimeout(() => {
      entry.unlink();
      resolve();
    }, ms);
  });
}
