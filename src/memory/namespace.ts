/** Between users' keys and the store's, where the keyspace has a namespace: a literal prefix. */
import type { RangeSelector } from "../keyspace.ts";
import type { Commit, Extent, Outcome } from "../keyspace/store.ts";
import type { StoredKey } from "../range/conflating-log.ts";
import { checkText } from "../range/keys.ts";

export class Namespace {
  readonly #prefix: string;

  /** @throws `TypeError` where it is not a text that UTF-8 can hold */
  constructor(prefix: string) {
    checkText(prefix, "namespace");
    this.#prefix = prefix;
  }

  /** The store's extent. */
  extent(extent: Extent): Extent {
    return "key" in extent ? { key: this.#prefix + extent.key } : { range: this.#range(extent.range) };
  }

  /** The same commit, of the store's keys. */
  commit({ conditions, changes }: Commit): Commit {
    const renamed = <K extends { readonly key: string }>(of: K): K => ({ ...of, key: this.#prefix + of.key });
    return { conditions: conditions.map(renamed), changes: changes.map(renamed) };
  }

  outcome(outcome: Outcome): Outcome {
    if (outcome.type !== "conflict") return outcome;
    return { ...outcome, found: outcome.found.map((stored) => stored && this.stored(stored)) };
  }

  /** The user's key. */
  key(key: string): string {
    return key.slice(this.#prefix.length);
  }

  stored(stored: StoredKey): StoredKey {
    return this.#prefix === "" ? stored : { ...stored, key: this.key(stored.key) };
  }

  #range(range: RangeSelector): RangeSelector {
    const prefix = this.#prefix;
    return typeof range === "string" ? prefix + range : { start: prefix + range.start, end: prefix + range.end };
  }
}
