/** One key of a keyspace, whatever its backend. */
import { type Codec, type Decode, decoderOf } from "../codec.ts";
import { checkFunction } from "../internal/arguments.ts";
import { checkWatchOptions } from "../internal/pull-watcher.ts";
import { quietly } from "../internal/quiet.ts";
import type { CallOptions, KeyUpdate, KeyValue, ReadableKeyValue, Versioned, WriteOptions } from "../keyspace.ts";
import { versionedOf } from "../range/decoding.ts";
import { type Absence, watchUpdates, watchValue } from "../range/watchers.ts";
import type { Watchable, Watcher, WatchOptions } from "../watchable.ts";
import { checkCallOptions } from "./arguments.ts";
import type { Source } from "./store.ts";
import { checkWriteOptions, encodeValue, type Operand, type Writer } from "./writer.ts";

/** The reading side. */
export class StoredReadableValue<T, A> implements ReadableKeyValue<T, A | undefined> {
  readonly key: string;
  readonly #source: Source;
  readonly #decode: Decode<T>;
  protected readonly absence: Absence<A>;
  #updates: Watchable<KeyUpdate<T>> | undefined;

  constructor(key: string, source: Source, decode: Decode<T>, absence: Absence<A>) {
    this.key = key;
    this.#source = source;
    this.#decode = decode;
    this.absence = absence;
  }

  /** Made when it is asked for: most are not, and there may be ten thousand values. */
  get updates(): Watchable<KeyUpdate<T>> {
    return (this.#updates ??= {
      watch: (options?: WatchOptions): Watcher<KeyUpdate<T>> => {
        checkWatchOptions(options);
        return watchUpdates(this.#source.enter(), this.#decode, options);
      },
    });
  }

  watch(options?: WatchOptions): Watcher<T | A | undefined> {
    checkWatchOptions(options);
    return watchValue(this.#source.enter(), this.#decode, this.absence, options);
  }

  read(options?: CallOptions): Promise<Versioned<T> | undefined> {
    checkCallOptions(options, "read()");
    return quietly(this.#read(options?.signal));
  }

  async #read(signal: AbortSignal | undefined): Promise<Versioned<T> | undefined> {
    const { keys } = await this.#source.read(signal, this.key);
    const [stored] = keys;
    return stored === undefined ? undefined : versionedOf(stored, this.#decode);
  }
}

/** Both sides. */
export class StoredValue<T, A> extends StoredReadableValue<T, A> implements KeyValue<T, A | undefined> {
  readonly #codec: Codec<T>;
  readonly #writer: Writer;

  constructor(key: string, source: Source, codec: Codec<T>, absence: Absence<A>, writer: Writer) {
    super(key, source, decoderOf(codec), absence);
    this.#codec = codec;
    this.#writer = writer;
  }

  /** How transactions write it. @internal */
  operand(): Operand<T> {
    const { key } = this;
    return { writer: this.#writer, key, encode: (value) => encodeValue(this.#codec, value, key) };
  }

  set(value: T, options?: WriteOptions): Promise<{ revision: number }> {
    checkWriteOptions(options, "set()");
    return this.#writer.put(this.key, encodeValue(this.#codec, value, this.key), options);
  }

  update(change: (current: T | A | undefined) => T, options?: WriteOptions): Promise<{ revision: number }> {
    checkFunction(change, "update(): change");
    checkWriteOptions(options, "update()");
    const { key, absence } = this;
    return this.#writer.update({ key, codec: this.#codec, absent: absence?.value, change }, options);
  }

  delete(options?: WriteOptions): Promise<{ revision: number; deleted: boolean }> {
    checkWriteOptions(options, "delete()");
    return this.#writer.delete(this.key, options);
  }
}
