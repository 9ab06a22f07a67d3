/**
 * One listener per AbortSignal, however many calls wait on it.
 *
 * Adding and removing a listener for each call costs four times the call itself, and Node warns at the eleventh
 * listener of one signal. So each signal has one hub, which keeps those who wait on it in an intrusive list; the
 * listener is there while the list is not empty, and goes in a later macrotask, so that a loop of calls on one
 * signal adds it once.
 *
 * Invariant: an entry is in its hub's list exactly while it waits; it is called back at most once.
 */
import { type Link, List } from "./list.ts";
import { macrotask } from "./macrotask.ts";

/** Someone who waits for a signal; `unlink()` stops the waiting. */
export class AbortEntry implements Link {
  before: Link | null = null;
  after: Link | null = null;
  /** Called when the signal is aborted, unless `unlink()` came first. Must not throw. */
  readonly aborted: (reason: unknown) => void;
  /** Where it waits: not kept any longer, as the hub keeps the signal. */
  #hub: Hub | undefined = undefined;

  constructor(aborted: (reason: unknown) => void) {
    this.aborted = aborted;
  }

  /** Waits for `signal`, which must not be aborted yet. */
  await(signal: AbortSignal): this {
    let hub = hubs.get(signal);
    if (hub === undefined) hubs.set(signal, (hub = new Hub(signal)));
    this.#hub = hub;
    hub.add(this);
    return this;
  }

  unlink(): void {
    this.#hub?.remove(this);
    this.#hub = undefined;
  }
}

const hubs = new WeakMap<AbortSignal, Hub>();

class Hub extends List {
  readonly #signal: AbortSignal;
  #listening = false;
  #leaving = false;

  constructor(signal: AbortSignal) {
    super();
    this.#signal = signal;
  }

  override add(entry: Link): void {
    super.add(entry);
    if (this.#listening) return;
    this.#listening = true;
    this.#signal.addEventListener("abort", this);
  }

  override remove(entry: Link): void {
    super.remove(entry);
    if (this.size > 0 || this.#leaving) return;
    this.#leaving = true;
    macrotask(() => {
      this.#leaving = false;
      if (this.size > 0) return;
      this.#listening = false;
      this.#signal.removeEventListener("abort", this);
    });
  }

  /** The signal's event: calls everybody back, in the order in which they came. */
  handleEvent(): void {
    while (this.size > 0) {
      const entry = this.after as AbortEntry;
      entry.unlink();
      entry.aborted(this.#signal.reason);
    }
  }
}

/**
 * `promise`, or a rejection with `signal.reason` as soon as that is aborted. What becomes of `promise` afterwards is
 * ignored. Unlike `Promise.race` with a promise of the abort it leaves nothing behind on a signal that lives long.
 */
export function abortable<T>(promise: PromiseLike<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return Promise.resolve(promise);
  return new Promise((resolve, reject) => {
    const entry = new AbortEntry(reject);
    promise.then(
      (value) => {
        entry.unlink();
        resolve(value);
      },
      (error: unknown) => {
        entry.unlink();
        reject(error);
      },
    );
    if (signal.aborted) reject(signal.reason);
    else entry.await(signal);
  });
}

/** Aborts `controller` when `signal` is aborted, until `unlink()` is called on what is returned. */
export function follow(controller: AbortController, signal: AbortSignal | undefined): { unlink(): void } {
  const entry = new AbortEntry((reason) => controller.abort(reason));
  if (signal?.aborted === true) controller.abort(signal.reason);
  else if (signal !== undefined) entry.await(signal);
  return entry;
}

/** Whether `error` says no more than that `signal` was aborted: it is its reason, or what platforms make of that. */
export function isAbort(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || (error as { readonly name?: unknown } | null | undefined)?.name === "AbortError";
}
