/** Taking turns, in the order of asking, for each key by itself. */
import { abortable } from "../internal/abort.ts";

/** Somebody's turn. */
export interface Turn {
  leave(): void;
}

export class Turns {
  /** For each key, what ends when the last who asked has left. */
  readonly #last = new Map<string, Promise<void>>();

  /** Resolves when all who asked before have left. Rejects with `signal.reason` on abort: others go on. */
  async enter(key: string, signal: AbortSignal | undefined): Promise<Turn> {
    signal?.throwIfAborted();
    const before = this.#last.get(key);
    let leave!: () => void;
    const mine = new Promise<void>((resolve) => {
      leave = resolve;
    });
    const last = before === undefined ? mine : before.then(() => mine);
    this.#last.set(key, last);
    void last.then(() => {
      if (this.#last.get(key) === last) this.#last.delete(key);
    });
    try {
      if (before !== undefined) await abortable(before, signal);
    } catch (error) {
      leave();
      throw error;
    }
    return { leave };
  }
}
