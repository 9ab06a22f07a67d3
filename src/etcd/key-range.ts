/** A range of keys in etcd. */
import type { Codec, Decode } from "../codec.ts";
import { checkFunction, checkOptions, type Known } from "../internal/arguments.ts";
import { checkWatchOptions } from "../internal/pull-watcher.ts";
import type {
  Batch,
  CallOptions,
  KeyRange,
  RangeWatcher,
  ReadableKeyRange,
  Versioned,
  WriteOptions,
} from "../keyspace.ts";
import { decodeStored, putOf, versionedOf } from "../range/decoding.ts";
import { compareBytes } from "../range/keys.ts";
import { watchRange } from "../range/watchers.ts";
import type { WatchOptions } from "../watchable.ts";
import { quietly, type RangeSource } from "./range-source.ts";
import { checkWriteOptions, encodeValue, type StoreKey, writeDelete, writePut, writeUpdate } from "./writes.ts";

const callOptions: Known = { signal: "AbortSignal" };

/** The reading side. */
export class EtcdReadableKeyRange<T> implements ReadableKeyRange<T> {
  protected readonly source: RangeSource;
  protected readonly decode: Decode<T>;

  constructor(source: RangeSource, decode: Decode<T>) {
    this.source = source;
    this.decode = decode;
  }

  watch(options?: WatchOptions): RangeWatcher<T> {
    checkWatchOptions(options);
    return watchRange(this.source.enter(), this.decode, options);
  }

  read(options?: CallOptions): Promise<Batch<T>> {
    checkOptions(options, callOptions, "read()");
    return quietly(this.#read(options?.signal));
  }

  async #read(signal: AbortSignal | undefined): Promise<Batch<T>> {
    const { revision, keys } = await this.source.read(signal);
    keys.sort((a, b) => a.revision - b.revision);
    return {
      type: "snapshot",
      revision,
      changes: keys.map((stored) => putOf(stored, decodeStored(stored, this.decode))),
    };
  }
}

/** Both sides. */
export class EtcdKeyRange<T> extends EtcdReadableKeyRange<T> implements KeyRange<T> {
  readonly #codec: Codec<T>;

  constructor(source: RangeSource, codec: Codec<T>) {
    super(source, (bytes, key) => codec.decode(bytes, key));
    this.#codec = codec;
  }

  set(key: string, value: T, options?: WriteOptions): Promise<{ revision: number }> {
    const stored = this.#within(key);
    checkWriteOptions(options, "set()");
    return writePut(this.source.client, stored, encodeValue(this.#codec, value, key), options);
  }

  update(key: string, change: (current: T | undefined) => T, options?: WriteOptions): Promise<{ revision: number }> {
    const stored = this.#within(key);
    checkFunction(change, "update(): change");
    checkWriteOptions(options, "update()");
    const read = async (signal: AbortSignal | undefined): Promise<Versioned<T> | undefined> => {
      const found = await this.source.readKey(stored, signal);
      return found === undefined ? undefined : versionedOf(found, this.decode);
    };
    return writeUpdate(this.source.client, stored, this.#codec, undefined, read, change, options);
  }

  delete(key: string, options?: WriteOptions): Promise<{ revision: number; deleted: boolean }> {
    const stored = this.#within(key);
    checkWriteOptions(options, "delete()");
    return writeDelete(this.source.client, stored, options);
  }

  /** @throws `TypeError`, `RangeError` for what is not a key of this range */
  #within(key: string): StoreKey {
    const bytes = this.source.names.toStore(key);
    const { key: start, rangeEnd } = this.source.range;
    const unbounded = rangeEnd === undefined || (rangeEnd.length === 1 && rangeEnd[0] === 0);
    if (compareBytes(bytes, start) < 0 || (!unbounded && compareBytes(bytes, rangeEnd) >= 0)) {
      throw new RangeError(`key ${JSON.stringify(key)} lies outside of the range`);
    }
    return { name: key, bytes };
  }
}
