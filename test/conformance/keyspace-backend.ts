/** What the suite of keyspaces has to be given of a kind of them, and what its parts have in common. */
import type { Batch, Keyspace, ReadableKeyRange, Watchable } from "../../src/index.ts";

/** One kind of keyspace. */
export interface Backend {
  readonly name: string;
  /** Opens a keyspace that has all its keys to itself, and holds none. */
  open(): Promise<Subject>;
}

/** One keyspace under test. Disposing it closes all that was opened of it. */
export interface Subject extends AsyncDisposable {
  readonly keyspace: Keyspace;
  /** The same keys, past the keyspace under test. */
  readonly store: RawStore;
  /**
   * Opens one more keyspace of the same keys, with no more in common than two processes have; or of those of them that
   * begin with `namespace`, without it.
   */
  another(namespace?: string): Keyspace;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The store itself: what a keyspace is held against. Writes resolve with their revision when the store has them. */
export interface RawStore {
  put(key: string, value: string | Uint8Array): Promise<number>;
  delete(key: string): Promise<number>;
  /** All of them at one revision. */
  txn(operations: readonly RawOperation[]): Promise<number>;
  get(key: string): Promise<Held | undefined>;
  /** All that is held. */
  all(): Promise<ReadonlyMap<string, Held>>;
  revision(): Promise<number>;
}

/** A put, or without a value a delete. */
export interface RawOperation {
  readonly key: string;
  readonly value?: string;
}

/** What the store holds under a key. */
export interface Held {
  readonly value: string;
  readonly revision: number;
  readonly createRevision: number;
}

/** Of a `get()`: what is pending, and nothing else. */
export const backlog = { backlogOnly: true } as const;

/** Resolves when all watchers of `value` can be given what the store holds now: a watcher that joins was. */
export async function synced(value: Watchable<unknown>): Promise<void> {
  using watcher = value.watch();
  await watcher.get(backlog).catch(() => {});
}

/** The same of a range; resolves with its state. */
export async function syncedRange<T>(range: ReadableKeyRange<T>): Promise<Batch<T>> {
  using watcher = range.watch();
  return await watcher.getBatch();
}

/** Resolves when `signal` is aborted, with its reason. */
export function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  });
}

const encoder = new TextEncoder();

/** The bytes of a text. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}
