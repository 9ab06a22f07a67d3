/** Taking turns, in the order of asking, for each key by itself. */
import { abortable } from "../internal/abort.ts";

export class Turns {
  /** For each key, what ends when the last who asked for it has left. */
  readonly #last = new Map<string, Promise<unknown>>();

  /**
   * Calls `act` when all who asked for one of these keys before have done, at once where nobody has. Rejects with
   * `signal.reason` on abort before that: others go on.
   */
  async take<T>(keys: readonly string[], signal: AbortSignal | undefined, act: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    const before = keys.flatMap((key) => this.#last.get(key) ?? []);
    let leave!: () => void;
    const mine = new Promise<void>((resolve) => {
      leave = resolve;
    });
    // Who comes next waits for those before as well, should this one give up.
    const last = before.length === 0 ? mine : Promise.all([...before, mine]);
    for (const key of keys) this.#last.set(key, last);
    void last.then(() => {
      for (const key of keys) if (this.#last.get(key) === last) this.#last.delete(key);
    });
    try {
      if (before.length > 0) await abortable(Promise.all(before), signal);
      return await act();
    } finally {
      leave();
    }
  }
}
