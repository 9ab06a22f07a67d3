/** A clock that stands still until somebody moves it. */
import type { Clock } from "../memory/memory-store.ts";

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

export class TestClock implements Clock {
  #now = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** All of the time passes at once; then what is due runs, earliest first, as after a sleep of the whole process. */
  jump(ms: number): void {
    this.#now += ms;
    for (let due = this.#due(); due !== undefined; due = this.#due()) {
      this.#timers.delete(due);
      due.run();
    }
  }

  #due(): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at <= this.#now && (first === undefined || timer.at < first.at)) first = timer;
    }
    return first;
  }
}
