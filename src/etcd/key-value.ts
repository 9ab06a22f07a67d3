/** One key in etcd. */
import type { Codec, Decode } from "../codec.ts";
import { checkFunction, checkOptions, type Known } from "../internal/arguments.ts";
import { checkWatchOptions } from "../internal/pull-watcher.ts";
import type { CallOptions, KeyUpdate, KeyValue, ReadableKeyValue, Versioned, WriteOptions } from "../keyspace.ts";
import { type Absence, watchUpdates, watchValue } from "../range/watchers.ts";
import { versionedOf } from "../range/decoding.ts";
import type { Watchable, Watcher, WatchOptions } from "../watchable.ts";
import { quietly, type RangeSource } from "./range-source.ts";
import { checkWriteOptions, encodeValue, type StoreKey, writeDelete, writePut, writeUpdate } from "./writes.ts";

const callOptions: Known = { signal: "AbortSignal" };

/** The reading side. */
export class EtcdReadableKeyValue<T, A> implements ReadableKeyValue<T, A | undefined> {
  readonly key: string;
  readonly updates: Watchable<KeyUpdate<T>>;
  protected readonly source: RangeSource;
  protected readonly decode: Decode<T>;
  protected readonly absence: Absence<A>;

  constructor(key: string, source: RangeSource, decode: Decode<T>, absence: Absence<A>) {
    this.key = key;
    this.source = source;
    this.decode = decode;
    this.absence = absence;
    this.updates = {
      watch(options?: WatchOptions): Watcher<KeyUpdate<T>> {
        checkWatchOptions(options);
        return watchUpdates(source.enter(), decode, options);
      },
    };
  }

  watch(options?: WatchOptions): Watcher<T | A | undefined> {
    checkWatchOptions(options);
    return watchValue(this.source.enter(), this.decode, this.absence, options);
  }

  read(options?: CallOptions): Promise<Versioned<T> | undefined> {
    checkOptions(options, callOptions, "read()");
    return quietly(this.#read(options?.signal));
  }

  async #read(signal: AbortSignal | undefined): Promise<Versioned<T> | undefined> {
    const { keys } = await this.source.read(signal, this.key);
    const [stored] = keys;
    return stored === undefined ? undefined : versionedOf(stored, this.decode);
  }
}

/** Both sides. */
export class EtcdKeyValue<T, A> extends EtcdReadableKeyValue<T, A> implements KeyValue<T, A | undefined> {
  readonly #codec: Codec<T>;

  constructor(key: string, source: RangeSource, codec: Codec<T>, absence: Absence<A>) {
    super(key, source, (bytes, name) => codec.decode(bytes, name), absence);
    this.#codec = codec;
  }

  get #stored(): StoreKey {
    return { name: this.key, bytes: this.source.range.key };
  }

  set(value: T, options?: WriteOptions): Promise<{ revision: number }> {
    checkWriteOptions(options, "set()");
    return writePut(this.source.client, this.#stored, encodeValue(this.#codec, value, this.key), options);
  }

  update(change: (current: T | A | undefined) => T, options?: WriteOptions): Promise<{ revision: number }> {
    checkFunction(change, "update(): change");
    checkWriteOptions(options, "update()");
    const read = (signal: AbortSignal | undefined): Promise<Versioned<T> | undefined> => this.read({ signal });
    return writeUpdate(this.source.client, this.#stored, this.#codec, this.absence?.value, read, change, options);
  }

  delete(options?: WriteOptions): Promise<{ revision: number; deleted: boolean }> {
    checkWriteOptions(options, "delete()");
    return writeDelete(this.source.client, this.#stored, options);
  }
}
