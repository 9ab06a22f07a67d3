/** A range of keys of a keyspace, whatever its backend. */
import { type Codec, type Decode, decoderOf } from "../codec.ts";
import { checkFunction } from "../internal/arguments.ts";
import { checkWatchOptions } from "../internal/pull-watcher.ts";
import { quietly } from "../internal/quiet.ts";
import type {
  Batch,
  CallOptions,
  KeyRange,
  LiveMap,
  RangeSelector,
  RangeWatcher,
  ReadableKeyRange,
  WriteOptions,
} from "../keyspace.ts";
import { decodeStored, putOf } from "../range/decoding.ts";
import { checkKey, liesIn, quoted } from "../range/keys.ts";
import { watchRange } from "../range/watchers.ts";
import type { WatchOptions } from "../watchable.ts";
import { checkCallOptions } from "./arguments.ts";
import { LiveMaps } from "./live-map.ts";
import type { Source } from "./store.ts";
import { checkWriteOptions, encodeValue, type Writer } from "./writer.ts";

/** The reading side. */
export class StoredReadableRange<T> implements ReadableKeyRange<T> {
  readonly #source: Source;
  readonly #decode: Decode<T>;
  readonly #live: LiveMaps<T>;

  constructor(source: Source, decode: Decode<T>) {
    this.#source = source;
    this.#decode = decode;
    this.#live = new LiveMaps(source, decode);
  }

  watch(options?: WatchOptions): RangeWatcher<T> {
    checkWatchOptions(options);
    return watchRange(this.#source.enter(), this.#decode, options);
  }

  read(options?: CallOptions): Promise<Batch<T>> {
    checkCallOptions(options, "read()");
    return quietly(this.#read(options?.signal));
  }

  live(options?: CallOptions): Promise<LiveMap<T>> {
    checkCallOptions(options, "live()");
    return quietly(this.#live.open(options?.signal));
  }

  async #read(signal: AbortSignal | undefined): Promise<Batch<T>> {
    const { revision, keys } = await this.#source.read(signal);
    keys.sort((a, b) => a.revision - b.revision);
    const changes = keys.map((stored) => putOf(stored, decodeStored(stored, this.#decode)));
    return { type: "snapshot", revision, changes };
  }
}

/** Both sides. */
export class StoredRange<T> extends StoredReadableRange<T> implements KeyRange<T> {
  readonly #selector: RangeSelector;
  readonly #codec: Codec<T>;
  readonly #writer: Writer;

  constructor(selector: RangeSelector, source: Source, codec: Codec<T>, writer: Writer) {
    super(source, decoderOf(codec));
    this.#selector = selector;
    this.#codec = codec;
    this.#writer = writer;
  }

  set(key: string, value: T, options?: WriteOptions): Promise<{ revision: number }> {
    this.#check(key);
    checkWriteOptions(options, "set()");
    return this.#writer.put(key, encodeValue(this.#codec, value, key), options);
  }

  update(key: string, change: (current: T | undefined) => T, options?: WriteOptions): Promise<{ revision: number }> {
    this.#check(key);
    checkFunction(change, "update(): change");
    checkWriteOptions(options, "update()");
    return this.#writer.update({ key, codec: this.#codec, absent: undefined, change }, options);
  }

  delete(key: string, options?: WriteOptions): Promise<{ revision: number; deleted: boolean }> {
    this.#check(key);
    checkWriteOptions(options, "delete()");
    return this.#writer.delete(key, options);
  }

  /** @throws `TypeError`, `RangeError` for what is not a key of this range */
  #check(key: string): void {
    checkKey(key, "key");
    if (!liesIn(this.#selector, key)) throw new RangeError(`key ${quoted(key)} lies outside of the range`);
  }
}
