/** Between users' keys and the store's: the namespace, a literal prefix, is put before and taken off again. */
import type { RangeSelector } from "../keyspace.ts";
import { checkText, encodeText, prefixEnd, rawKey } from "../range/keys.ts";
import type { StoreRange } from "./list.ts";
import type { KeyRecord } from "./proto/hot-decoders.ts";

/**
 * A zero byte: the first key there can be, as etcd has no empty one; and a range end that stands for "all keys from
 * here on".
 */
const noEnd: Uint8Array = new Uint8Array(1);

export class KeyNames {
  readonly #prefix: string;
  readonly #prefixBytes: Uint8Array;

  /** @throws `TypeError` where the namespace is not a string, or UTF-8 cannot hold it. */
  constructor(namespace: string) {
    this.#prefix = namespace;
    checkText(namespace, "namespace");
    this.#prefixBytes = encodeText(namespace);
  }

  /** The store's key. */
  toStore(key: string): Uint8Array {
    return encodeText(this.#prefix + key);
  }

  /** The user's key, or the log's where it is not UTF-8. */
  toUser(key: string, raw: KeyRecord["rawKey"]): string {
    if (raw !== undefined) return rawKey(raw.subarray(this.#prefixBytes.length));
    return this.#prefix === "" ? key : key.slice(this.#prefix.length);
  }

  /** The store's range. */
  range(selector: RangeSelector): StoreRange {
    const prefix = this.#prefix;
    if (typeof selector === "string") {
      const start = encodeText(prefix + selector);
      return { key: start.length === 0 ? noEnd : start, rangeEnd: prefixEnd(start) ?? noEnd };
    }
    const key = encodeText(prefix + selector.start);
    return { key: key.length === 0 ? noEnd : key, rangeEnd: encodeText(prefix + selector.end) };
  }
}
