/**
 * Writes by the library, with the faults in its way: plain ones, on a condition, updates and transactions, of keys that
 * several keyspaces write. Each has a name of its own, so that the store's history tells how often it was made.
 */
import { setTimeout as delay } from "node:timers/promises";
import { ifRevision, isEventValueError, type Keyspace, type KeyValue, put, text } from "../../src/index.ts";
import type { Random } from "../support/seed.ts";
import { own, type Wrote } from "./recording.ts";

const keys = [0, 1, 2].map((i) => `${own}${i}`);

export class LibraryWriter {
  readonly #at: number;
  readonly #keyspace: Keyspace;
  readonly #random: Random;
  readonly #record: (wrote: Wrote) => void;
  #writing: Promise<void> = Promise.resolve();
  #stop = new AbortController();
  #count = 0;

  constructor(at: number, keyspace: Keyspace, random: Random, record: (wrote: Wrote) => void) {
    this.#at = at;
    this.#keyspace = keyspace;
    this.#random = random;
    this.#record = record;
  }

  start(): void {
    this.#stop = new AbortController();
    this.#writing = this.#run(this.#stop.signal);
  }

  /** Resolves when no write is under way any more. */
  async rest(): Promise<void> {
    this.#stop.abort();
    await this.#writing;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#write(signal);
      await delay(this.#random.below(100));
    }
  }

  async #write(signal: AbortSignal): Promise<void> {
    const random = this.#random;
    const name = `${this.#at}.${this.#count++}`;
    const [key, other] = [random.pick(keys), random.pick(keys)];
    const value = this.#keyspace.value(key, text);
    const kind = random.below(4);
    const written = kind === 3 && other !== key ? [key, other] : [key];
    let outcome: Pick<Wrote, "outcome" | "revision">;
    try {
      const { revision } = await this.#attempt(kind, value, name, written, signal);
      outcome = { outcome: "made", revision };
    } catch (error) {
      const told = isEventValueError(error, "EV_CONFLICT") || isEventValueError(error, "EV_UNAVAILABLE");
      // An abort may come when the write is on its way.
      if (!told && error !== signal.reason) throw error;
      const isRefused =
        isEventValueError(error, "EV_CONFLICT") || (isEventValueError(error, "EV_UNAVAILABLE") && !error.maybeApplied);
      outcome = { outcome: isRefused ? "refused" : "unclear" };
    }
    this.#record({ what: "wrote", keyspace: this.#at, name, keys: written, ...outcome });
  }

  async #attempt(
    kind: number,
    value: KeyValue<string>,
    name: string,
    written: readonly string[],
    signal: AbortSignal,
  ): Promise<{ revision: number }> {
    // The last few names, so that an update that is made twice shows.
    if (kind === 0) return value.update((list = "") => [...list.split(",").slice(-5), name].join(","), { signal });
    if (kind === 1) return value.set(name, { signal });
    const revision = (await value.read({ signal }))?.revision ?? 0;
    if (kind === 2) return value.set(name, { signal, ifRevision: revision });
    const puts = written.map((key) => put(this.#keyspace.value(key, text), name));
    return this.#keyspace.transaction([ifRevision(value, revision), ...puts], { signal });
  }
}
