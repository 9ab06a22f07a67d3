/** The steps of a transaction, and how a keyspace puts them together. */
import { checkOptions, mustBe } from "../internal/arguments.ts";
import type { KeyValue, Lease, TransactionOperation } from "../keyspace.ts";
import { quoted } from "../range/keys.ts";
import { checkLease, checkRevision } from "./arguments.ts";
import { StoredValue } from "./key-value.ts";
import type { Change, Commit, Condition } from "./store.ts";
import type { Operand, Writer } from "./writer.ts";

/** What an operation of a user's is inside. */
class Step implements TransactionOperation {
  readonly type: TransactionOperation["type"];
  readonly key: string;
  readonly writer: Writer;
  readonly part: Change | Condition;

  constructor(type: TransactionOperation["type"], { key, writer }: Operand<never>, part: Change | Condition) {
    this.type = type;
    this.key = key;
    this.writer = writer;
    this.part = part;
  }
}

/** Options of {@link put}. */
export interface PutOptions {
  /** Binds the key to a lease: it disappears with it. */
  readonly lease?: Lease | undefined;
}

/**
 * The step of a {@link Keyspace.transaction} that writes a key. The value is encoded at once: what is not a value of the
 * key's type is refused here, as by {@link KeyValue.set}.
 */
export function put<T>(
  keyValue: KeyValue<T, unknown>,
  value: NoInfer<T>,
  options: PutOptions = {},
): TransactionOperation {
  const target = operandOf(keyValue, "put()");
  checkOptions(options, { lease: "any" }, "put()");
  checkLease(options.lease, "put()");
  const { key } = target;
  return new Step("put", target, { type: "put", key, bytes: target.encode(value), lease: options.lease?.id });
}

/** The step of a {@link Keyspace.transaction} that deletes a key, if it is there. */
export function remove<T>(keyValue: KeyValue<T, unknown>): TransactionOperation {
  const target = operandOf(keyValue, "remove()");
  return new Step("remove", target, { type: "delete", key: target.key });
}

/**
 * The step of a {@link Keyspace.transaction} that lets it happen only if the key is as it was written at `revision`, as
 * {@link Versioned.revision} gives it; 0: only if it is absent.
 */
export function ifRevision<T>(keyValue: KeyValue<T, unknown>, revision: number): TransactionOperation {
  const target = operandOf(keyValue, "ifRevision()");
  checkRevision(revision, "ifRevision(): revision");
  return new Step("ifRevision", target, { key: target.key, revision, of: "last write" });
}

/** As {@link ifRevision}, of the revision at which the key came into being, whatever was written to it since. @internal */
export function ifCreated<T>(keyValue: KeyValue<T, unknown>, revision: number): TransactionOperation {
  const target = operandOf(keyValue, "ifCreated()");
  return new Step("ifRevision", target, { key: target.key, revision, of: "creation" });
}

/** What a transaction of `writer`'s keyspace does. @throws `TypeError`, `RangeError` for what it cannot consist of @internal */
export function commitOf(operations: readonly TransactionOperation[], writer: Writer): Commit {
  if (!Array.isArray(operations)) throw mustBe("transaction(): operations", "an array", operations);
  const changes: Change[] = [];
  const conditions: Condition[] = [];
  const written = new Set<string>();
  for (const step of operations as readonly unknown[]) {
    if (!(step instanceof Step)) throw mustBe("transaction(): operations", "made by put, remove and ifRevision", step);
    const { part, key } = step;
    if (step.writer !== writer) throw new TypeError(`transaction(): ${quoted(key)} is of another keyspace`);
    if (!("type" in part)) conditions.push(part);
    else {
      if (written.has(key)) throw new RangeError(`transaction(): ${quoted(key)} is written twice`);
      written.add(key);
      changes.push(part);
    }
  }
  return { changes, conditions };
}

function operandOf<T>(keyValue: KeyValue<T, unknown>, what: string): Operand<T> {
  if (keyValue instanceof StoredValue) return keyValue.operand();
  throw mustBe(`${what}: keyValue`, "a KeyValue of a keyspace", keyValue);
}
