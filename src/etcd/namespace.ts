/** Between users' keys and the store's: the namespace, a literal prefix, is put before and taken off again. */
import { encodeKey, encodeOneKey, compareBytes, prefixEnd, rawKey } from "../range/keys.ts";
import type { RangeSelector } from "../keyspace.ts";
import { mustBe } from "../internal/arguments.ts";
import type { StoredKey } from "../range/conflating-log.ts";
import type { StoreRange } from "./list.ts";
import type { KeyRecord } from "./proto/hot-decoders.ts";

/** A range end that stands for "all keys from here on". */
const noEnd: Uint8Array = new Uint8Array(1);

export class KeyNames {
  readonly #prefix: string;
  readonly #prefixBytes: Uint8Array;

  /** @throws `TypeError` where the namespace is not a string, or UTF-8 cannot hold it. */
  constructor(namespace: string) {
    this.#prefix = namespace;
    this.#prefixBytes = encodeKey(namespace, "namespace");
  }

  /** The store's key. @throws `TypeError`, `RangeError` for what is not a key */
  toStore(key: string): Uint8Array {
    encodeOneKey(key, "key");
    return encodeKey(this.#prefix + key, "key");
  }

  /** The user's key, or the log's where it is not UTF-8. */
  toUser({ key, rawKey: raw }: Pick<KeyRecord, "key" | "rawKey">): string {
    if (raw !== undefined) return rawKey(raw.subarray(this.#prefixBytes.length));
    return this.#prefix === "" ? key : key.slice(this.#prefix.length);
  }

  /** What the store holds, as the log takes it. */
  stored(record: KeyRecord): StoredKey {
    const { value, modRevision, createRevision } = record;
    return { key: this.toUser(record), bytes: value, revision: modRevision, createRevision };
  }

  /** The store's range. @throws `TypeError`, `RangeError` for what is not a range */
  range(selector: RangeSelector): StoreRange {
    if (typeof selector === "string") {
      const prefix = encodeKey(this.#prefix + selector, "range");
      // etcd has no empty key: the first one there can be is a single zero byte.
      return { key: prefix.length === 0 ? noEnd : prefix, rangeEnd: prefixEnd(prefix) ?? noEnd };
    }
    if (typeof selector !== "object" || selector === null)
      throw mustBe("range", "a prefix or { start, end }", selector);
    const start = encodeKey(selector.start, "range.start");
    const end = encodeKey(selector.end, "range.end");
    // The first key there can be is a zero byte; as an end, that would mean "all keys from here on" to etcd.
    if (compareBytes(start.length === 0 ? noEnd : start, end) >= 0)
      throw new RangeError("range.end must come after range.start, in the order of their bytes");
    const key = encodeKey(this.#prefix + selector.start, "range.start");
    return { key: key.length === 0 ? noEnd : key, rangeEnd: encodeKey(this.#prefix + selector.end, "range.end") };
  }
}
