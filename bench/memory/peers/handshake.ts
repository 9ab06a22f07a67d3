/** What hands values over: a `put` is resolved when its value was taken. */
export interface Hands {
  put(value: number): Promise<unknown>;
  take(): Promise<number | undefined>;
}

/** Made by hand: a place for one value. One who puts, one who takes; it lacks aborts and ends. */
export class Handshake implements Hands {
  #value = 0;
  #taken: (() => void) | null = null;
  #take: ((value: number) => void) | null = null;

  put(value: number): Promise<void> {
    if (this.#take !== null) {
      const take = this.#take;
      this.#take = null;
      take(value);
      return Promise.resolve();
    }
    this.#value = value;
    return new Promise((resolve) => (this.#taken = resolve));
  }

  take(): Promise<number> {
    if (this.#taken === null) return new Promise((resolve) => (this.#take = resolve));
    const taken = this.#taken;
    this.#taken = null;
    taken();
    return Promise.resolve(this.#value);
  }
}

/** Whether a put is resolved with nobody there to take its value. */
export async function isAhead(hands: Hands): Promise<boolean> {
  let ahead = false;
  const put = hands.put(0).then(() => (ahead = true));
  await new Promise((resolve) => setImmediate(resolve));
  const was = ahead;
  await Promise.all([put, hands.take()]);
  return was;
}
