/**
 * What a careful engineer writes where there are only callbacks: the newest value, whether it was taken, and who waits
 * for it. It lacks aborts, errors and ends, and a second `get()` makes it forget the first.
 */
import type { StateWatcher } from "./state.ts";

export class Slot implements StateWatcher {
  #newest = 0;
  #fresh = false;
  #resolve: ((value: number) => void) | null = null;
  #unsubscribe: () => void;

  /** `subscribe` calls `put` with the current value and with each later one, until what it returns is called. */
  constructor(subscribe: (put: (value: number) => void) => () => void) {
    this.#unsubscribe = subscribe((value) => this.#put(value));
  }

  #put(value: number): void {
    if (this.#resolve !== null) {
      const resolve = this.#resolve;
      this.#resolve = null;
      resolve(value);
      return;
    }
    this.#newest = value;
    this.#fresh = true;
  }

  get(): Promise<number> {
    if (this.#fresh) {
      this.#fresh = false;
      return Promise.resolve(this.#newest);
    }
    return new Promise((resolve) => (this.#resolve = resolve));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<number, void, undefined> {
    try {
      for (;;) yield this.get();
    } finally {
      this.close();
    }
  }

  close(): void {
    this.#unsubscribe();
  }
}
