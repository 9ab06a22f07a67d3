/** What keyspaces of all backends have in common: all but how they connect, and how they are closed. */
import type { Codec, Decode } from "../codec.ts";
import { checkOptions, checkValue, mustBe } from "../internal/arguments.ts";
import { quietly } from "../internal/quiet.ts";
import type {
  CallOptions,
  Election,
  Keyspace,
  KeyRange,
  KeyValue,
  Lease,
  LeaseOptions,
  RangeSelector,
  ReadableKeyRange,
  ReadableKeyValue,
  Status,
  TransactionOperation,
} from "../keyspace.ts";
import { checkKey, checkRange } from "../range/keys.ts";
import type { Absence } from "../range/watchers.ts";
import type { Watchable } from "../watchable.ts";
import { checkCallOptions, checkCodec, checkMs } from "./arguments.ts";
import { StoredElection } from "./election.ts";
import { StoredRange, StoredReadableRange } from "./key-range.ts";
import { StoredReadableValue, StoredValue } from "./key-value.ts";
import type { Store } from "./store.ts";
import { commitOf } from "./transaction.ts";
import { Writer } from "./writer.ts";

export abstract class StoreKeyspace implements Keyspace {
  declare [Symbol.asyncDispose]: () => Promise<void>;
  abstract readonly status: Watchable<Status>;
  readonly #store: Store;
  readonly #writer: Writer;

  /** @internal */
  constructor(store: Store) {
    this.#store = store;
    this.#writer = new Writer(store);
  }

  value<T>(key: string, codec: Codec<T>, options: { readonly default: NoInfer<T> }): KeyValue<T, never>;
  value<T>(key: string, codec: Codec<T>): KeyValue<T>;
  value<T>(key: string, decode: Decode<T>, options: { readonly default: NoInfer<T> }): ReadableKeyValue<T, never>;
  value<T>(key: string, decode: Decode<T>): ReadableKeyValue<T>;
  value<T>(key: string, coding: Codec<T> | Decode<T>, options?: { readonly default: T }): unknown {
    checkKey(key, "key");
    checkOptions(options, { default: "any" }, "value()");
    checkValue(options?.default);
    const absence: Absence<T> = options !== undefined && "default" in options ? { value: options.default } : undefined;
    const source = this.#store.source({ key });
    if (typeof coding === "function") return new StoredReadableValue(key, source, coding, absence);
    checkCodec(coding);
    return new StoredValue(key, source, coding, absence, this.#writer);
  }

  range<T>(range: RangeSelector, codec: Codec<T>): KeyRange<T>;
  range<T>(range: RangeSelector, decode: Decode<T>): ReadableKeyRange<T>;
  range<T>(range: RangeSelector, coding: Codec<T> | Decode<T>): unknown {
    const selector = checkRange(range);
    const source = this.#store.source({ range: selector });
    if (typeof coding === "function") return new StoredReadableRange(source, coding);
    checkCodec(coding);
    return new StoredRange(selector, source, coding, this.#writer);
  }

  transaction(operations: readonly TransactionOperation[], options?: CallOptions): Promise<{ revision: number }> {
    checkCallOptions(options, "transaction()");
    return this.#writer.transaction(commitOf(operations, this.#writer), options?.signal);
  }

  lease(options: LeaseOptions): Promise<Lease> {
    if (options === undefined) throw mustBe("lease(): options", "an object", options);
    checkOptions(options, { ttlMs: "number", signal: "AbortSignal" }, "lease()");
    checkMs(options.ttlMs, "lease(): ttlMs");
    return quietly(this.#store.grant(options.ttlMs, options.signal));
  }

  election(name: string): Election {
    checkKey(name, "election(): name");
    const prefix = `${name}/`;
    return new StoredElection(this, prefix, this.#store.source({ range: prefix }));
  }

  abstract close(): Promise<void>;
}
