/** Writes of single keys: put, delete, and the two on a condition. */
import { errorOf, isEventValueError } from "../errors.ts";
import { checkOptions, checkValue, type Known, mustBe } from "../internal/arguments.ts";
import { Backoff } from "../internal/backoff.ts";
import type { Codec } from "../codec.ts";
import type { Versioned, WriteOptions } from "../keyspace.ts";
import type { Client } from "./client.ts";
import { type RequestOp, CompareResult, CompareTarget } from "./proto/generated/etcd.ts";
import { deleteRange, put, txn } from "./proto/methods.ts";

/** A key of the store, and what users call it. */
export interface StoreKey {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const writeOptions: Known = { signal: "AbortSignal", ifRevision: "number", lease: "any" };

/** Refuses options that are not those of a write. */
export function checkWriteOptions(options: WriteOptions | undefined, what: string): void {
  if (options === undefined) return;
  checkOptions(options, writeOptions, what);
  const { ifRevision, lease } = options;
  if (ifRevision !== undefined && (!Number.isSafeInteger(ifRevision) || ifRevision < 0)) {
    throw new RangeError(`${what}: ifRevision must be a revision or 0, not ${ifRevision}`);
  }
  if (lease !== undefined && (typeof lease?.id !== "string" || !/^\d+$/.test(lease.id))) {
    throw mustBe(`${what}: lease`, "a lease", lease);
  }
}

/** The bytes to store. @throws at the call, what is wrong with the value */
export function encodeValue<T>(codec: Codec<T>, value: T, key: string): Uint8Array {
  checkValue(value);
  const bytes: unknown = codec.encode(value, key);
  if (!(bytes instanceof Uint8Array)) throw mustBe("what the codec's encode() returns", "a Uint8Array", bytes);
  return bytes;
}

export async function writePut(
  client: Client,
  key: StoreKey,
  value: Uint8Array,
  options: WriteOptions = {},
): Promise<{ revision: number }> {
  const request = { key: key.bytes, value, lease: options.lease?.id };
  if (options.ifRevision === undefined) {
    const { header } = await client.call(put, request, { signal: options.signal, key: key.name });
    return { revision: header?.revision ?? 0 };
  }
  return onCondition(client, key, { $case: "requestPut", value: request }, options.ifRevision, options.signal);
}

export async function writeDelete(
  client: Client,
  key: StoreKey,
  options: WriteOptions = {},
): Promise<{ revision: number; deleted: boolean }> {
  const request = { key: key.bytes };
  if (options.ifRevision === undefined) {
    const { header, deleted } = await client.call(deleteRange, request, { signal: options.signal, key: key.name });
    return { revision: header?.revision ?? 0, deleted: deleted > 0 };
  }
  const operation = { $case: "requestDeleteRange", value: request } as const;
  const { revision } = await onCondition(client, key, operation, options.ifRevision, options.signal);
  return { revision, deleted: options.ifRevision > 0 };
}

async function onCondition(
  client: Client,
  { name, bytes }: StoreKey,
  request: NonNullable<RequestOp["request"]>,
  ifRevision: number,
  signal: AbortSignal | undefined,
): Promise<{ revision: number }> {
  const { header, succeeded, responses } = await client.call(
    txn,
    {
      // An absent key compares as one of revision 0.
      compare: [
        {
          key: bytes,
          target: CompareTarget.MOD,
          result: CompareResult.EQUAL,
          targetUnion: { $case: "modRevision", value: ifRevision },
        },
      ],
      success: [{ request }],
      failure: [{ request: { $case: "requestRange", value: { key: bytes, keysOnly: true } } }],
    },
    { signal, key: name },
  );
  if (succeeded) return { revision: header?.revision ?? 0 };
  const found = responses[0]?.response;
  const currentRevision = (found?.$case === "responseRange" ? found.value.kvs[0]?.modRevision : undefined) ?? 0;
  const is = currentRevision === 0 ? "absent" : `at revision ${currentRevision}`;
  const expected = ifRevision === 0 ? "absent" : `at revision ${ifRevision}`;
  throw errorOf("EV_CONFLICT", `${JSON.stringify(name)} is ${is}, expected it ${expected}`, {
    key: name,
    currentRevision,
  });
}

/** Reads, changes and writes `key` until nobody else wrote it in between. */
export async function writeUpdate<T, A>(
  client: Client,
  key: StoreKey,
  codec: Codec<T>,
  absent: A,
  read: (signal: AbortSignal | undefined) => Promise<Versioned<T> | undefined>,
  change: (current: T | A) => T,
  options: WriteOptions = {},
): Promise<{ revision: number }> {
  const backoff = new Backoff(5, 500);
  const { signal, ifRevision, lease } = options;
  for (;;) {
    const current = await read(signal);
    const value = change(current === undefined ? absent : current.value);
    // Whatever the codec: it is what a function gives that forgets to give anything.
    if (value === undefined) throw new TypeError("update(): change must return a value, not undefined");
    const bytes = encodeValue(codec, value, key.name);
    try {
      return await writePut(client, key, bytes, { signal, lease, ifRevision: ifRevision ?? current?.revision ?? 0 });
    } catch (error) {
      if (ifRevision !== undefined || !isEventValueError(error, "EV_CONFLICT")) throw error;
      await backoff.wait(signal ?? client.closed);
    }
  }
}
