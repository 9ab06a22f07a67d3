import { deepStrictEqual } from "node:assert/strict";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  decodePage,
  decodeRange,
  decodeWatch,
  splitReads,
  type KeyRecord,
  type Page,
  type RangeResult,
  type WatchMessage,
} from "../../src/etcd/proto/hot-decoders.ts";
import { pack, type Packed } from "../../src/range/packed.ts";
import * as generated from "../support/generated/etcd.ts";
import { seed } from "../support/seed.ts";

const runs = { seed, numRuns: 1000 };

const nonNegative = fc.oneof(fc.nat(300), fc.maxSafeNat());
const integer = fc.oneof(fc.integer({ min: -2, max: 300 }), fc.maxSafeInteger());
const unsignedId = fc.bigInt(0n, 2n ** 64n - 1n).map(String);
const signedId = fc.oneof(fc.constant("0"), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map(String));
const bytes = fc.uint8Array({ maxLength: 40 });
const key = fc.oneof(
  fc.string({ unit: "grapheme-ascii", maxLength: 20 }).map(utf8),
  fc.string({ unit: "binary", maxLength: 20 }).map(utf8),
  fc.constantFrom("\uFFFD", "a\uFFFDb", "\uFEFFbom", "\0").map(utf8),
  bytes,
);
const value = fc.oneof(
  bytes,
  fc.nat(1500).map((length) => new Uint8Array(length).fill(length)),
);

const header = fc.option(
  fc.record({ clusterId: unsignedId, memberId: unsignedId, revision: integer, raftTerm: nonNegative }),
  { nil: undefined },
);
const keyValue = fc.record({
  key,
  value,
  createRevision: integer,
  modRevision: integer,
  version: integer,
  lease: signedId,
});
const event = fc.record({
  type: fc.constantFrom(0 as const, 1 as const),
  kv: keyValue,
  prevKv: fc.option(keyValue, { nil: undefined }),
});
const rangeResponse = fc.record({
  header,
  kvs: fc.array(keyValue, { maxLength: 12 }),
  more: fc.boolean(),
  count: integer,
});
const watchResponse = fc.record({
  header,
  watchId: integer,
  created: fc.boolean(),
  canceled: fc.boolean(),
  compactRevision: integer,
  cancelReason: fc.string({ unit: "binary" }),
  fragment: fc.boolean(),
  events: fc.array(event, { maxLength: 12 }),
});

/** Fields of numbers that no message has, of every wire type that is in use. */
const unknownFields = fc
  .array(
    fc.tuple(
      fc.constantFrom(12, 15, 16, 99, 536870911),
      fc.constantFrom(WireType.Varint, WireType.Bit64, WireType.LengthDelimited, WireType.Bit32),
      fc.bigInt(0n, 2n ** 64n - 1n),
      bytes,
    ),
    { maxLength: 3 },
  )
  .map((fields) => {
    const writer = new BinaryWriter();
    for (const [number, type, varint, run] of fields) {
      writer.tag(number, type);
      if (type === WireType.Varint) writer.uint64(varint);
      else if (type === WireType.Bit64) writer.fixed64(varint);
      else if (type === WireType.LengthDelimited) writer.bytes(run);
      else writer.fixed32(Number(varint & 0xffffffffn));
    }
    return writer.finish();
  });

/** What a page tells of a key. */
interface PageKey extends Pick<KeyRecord, "key" | "rawKey" | "createRevision"> {
  readonly packed: Packed;
  readonly revision: number;
}

/** Reads a page whose keys are all that is told of them. */
function readPage(bytes: Uint8Array): Page<PageKey> {
  return decodePage(bytes, (key, rawKey, packed, revision, createRevision) => ({
    key,
    rawKey,
    packed,
    revision,
    createRevision,
  }));
}

/** What a page of so many bytes says of a range. */
function pageOf({ header, kvs, more }: RangeResult, bytes: number): Page<PageKey> {
  const last = kvs.at(-1);
  return {
    header,
    keys: kvs.map(({ key, rawKey, createRevision, modRevision, value }) => ({
      key,
      rawKey,
      packed: pack(value),
      revision: modRevision,
      createRevision,
    })),
    lastKey: last === undefined ? new Uint8Array(0) : (last.rawKey ?? utf8(last.key)),
    more,
    bytes,
  };
}

describe(`hot decoders (seed ${seed})`, () => {
  test("read a range response as the generated decoder does", () => {
    fc.assert(
      fc.property(rangeResponse, (message) => {
        const encoded = generated.RangeResponse.encode(message).finish();
        deepStrictEqual(decodeRange(encoded), rangeOf(message));
        deepStrictEqual(readPage(encoded), pageOf(rangeOf(message), encoded.length));
        deepStrictEqual(rangeOf(generated.RangeResponse.decode(encoded)), rangeOf(message));
      }),
      runs,
    );
  });

  test("take the answers of a transaction that reads apart", () => {
    fc.assert(
      fc.property(header, fc.array(rangeResponse, { maxLength: 4 }), unknownFields, (header, messages, unknown) => {
        const encoded = messages.map((message) => generated.RangeResponse.encode(message).finish());
        const writer = new BinaryWriter();
        if (header !== undefined) {
          writer.tag(1, WireType.LengthDelimited).bytes(generated.ResponseHeader.encode(header).finish());
        }
        writer.tag(2, WireType.Varint).bool(true).raw(unknown);
        for (const read of encoded) {
          const operation = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(read).finish();
          writer.tag(3, WireType.LengthDelimited).bytes(operation);
        }
        const answer = splitReads(writer.finish());
        const none = { clusterId: "0", memberId: "0", revision: 0, raftTerm: 0 };
        deepStrictEqual(answer.header, { ...none, ...header });
        deepStrictEqual(answer.reads.map(decodeRange), messages.map(rangeOf));
      }),
      runs,
    );
    // The answer to a put, which nobody asked for.
    const put = new BinaryWriter().tag(2, WireType.LengthDelimited).bytes(new Uint8Array(0)).finish();
    expect(() => splitReads(new BinaryWriter().tag(3, WireType.LengthDelimited).bytes(put).finish())).toThrow(
      RangeError,
    );
  });

  test("read a watch response as the generated decoder does", () => {
    fc.assert(
      fc.property(watchResponse, (message) => {
        const encoded = generated.WatchResponse.encode(message).finish();
        deepStrictEqual(decodeWatch(encoded), watchOf(message));
        deepStrictEqual(watchOf(generated.WatchResponse.decode(encoded)), watchOf(message));
      }),
      runs,
    );
  });

  test("skip unknown fields at every level", () => {
    fc.assert(
      fc.property(watchResponse, fc.array(unknownFields, { minLength: 8, maxLength: 8 }), (message, unknown) => {
        let next = 0;
        const mixed = (write: (writer: BinaryWriter) => void): Uint8Array => {
          const writer = new BinaryWriter().raw(unknown[next++ % 8] as Uint8Array);
          write(writer);
          return writer.raw(unknown[next++ % 8] as Uint8Array).finish();
        };
        const kvOf = (kv: generated.KeyValue): Uint8Array =>
          mixed((writer) => writer.raw(generated.KeyValue.encode(kv).finish()));
        const headerOf = (): Uint8Array =>
          mixed((writer) => message.header && writer.raw(generated.ResponseHeader.encode(message.header).finish()));
        const watch = mixed((writer) => {
          writer.uint32(10).bytes(headerOf());
          writer.raw(generated.WatchResponse.encode({ ...message, header: undefined, events: [] }).finish());
          for (const { type, kv } of message.events) {
            writer.uint32(90).bytes(mixed((inner) => inner.uint32(8).int32(type).uint32(18).bytes(kvOf(kv))));
          }
        });
        const range = mixed((writer) => {
          writer.uint32(10).bytes(headerOf());
          for (const { kv } of message.events) writer.uint32(18).bytes(kvOf(kv));
        });
        deepStrictEqual(decodeWatch(watch), watchOf(message));
        const kvs = message.events.map(({ kv }) => kv);
        const expected = rangeOf({ header: message.header, kvs, more: false, count: 0 });
        deepStrictEqual(decodeRange(range), expected);
        deepStrictEqual(readPage(range), pageOf(expected, range.length));
      }),
      runs,
    );
  });

  test("agree on what a message that is cut short says, if anything", () => {
    fc.assert(
      fc.property(rangeResponse, watchResponse, (range, watch) => {
        for (const [encoded, hot, slow] of [
          [
            generated.RangeResponse.encode(range).finish(),
            decodeRange,
            (cut: Uint8Array) => rangeOf(generated.RangeResponse.decode(cut)),
          ],
          [
            generated.RangeResponse.encode(range).finish(),
            readPage,
            (cut: Uint8Array) => pageOf(rangeOf(generated.RangeResponse.decode(cut)), cut.length),
          ],
          [
            generated.WatchResponse.encode(watch).finish(),
            decodeWatch,
            (cut: Uint8Array) => watchOf(generated.WatchResponse.decode(cut)),
          ],
        ] as const) {
          for (let length = 0; length < Math.min(encoded.length, 400); length++) {
            const cut = encoded.subarray(0, length);
            const expected = attempt(() => slow(cut));
            const actual = attempt(() => hot(cut));
            if (expected instanceof Error) expect(actual).toBeInstanceOf(RangeError);
            else deepStrictEqual(actual, expected);
          }
        }
      }),
      { seed, numRuns: 30 },
    );
  });

  test("throw nothing but a RangeError, whatever the bytes", () => {
    fc.assert(
      fc.property(
        rangeResponse,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (message, flips) => {
          const encoded = generated.RangeResponse.encode(message).finish();
          for (const [at, byte] of flips) if (encoded.length > 0) encoded[at % encoded.length] = byte;
          for (const decode of [decodeRange, readPage, decodeWatch]) {
            const result = attempt(() => decode(encoded));
            if (result instanceof Error) expect(result).toBeInstanceOf(RangeError);
          }
        },
      ),
      { seed, numRuns: 3000 },
    );
  });

  test("refuse a number that JavaScript cannot hold", () => {
    fc.assert(
      fc.property(fc.bigInt(2n ** 53n, 2n ** 63n - 1n), fc.boolean(), (beyond, negative) => {
        const encoded = new BinaryWriter()
          .uint32(32)
          .int64(negative ? -beyond : beyond)
          .finish();
        expect(() => decodeRange(encoded)).toThrow(RangeError);
      }),
      runs,
    );
  });

  test.each([
    ["a field that reaches beyond its message", [18, 3, 10, 2, 97, 98, 0]],
    ["a message that reaches beyond the one around it", [18, 9, 10, 1, 97]],
    ["a length beyond 2^32", [18, 0x82, 0x80, 0x80, 0x80, 0x10, 24, 1]],
    ["a number of more than ten bytes", [24, ...Array.from({ length: 11 }, () => 0x81), 1]],
    ["field number 0", [0, 0]],
    ["a group", [99, 100]],
    ["a number that is cut short", [32, 0x80]],
    ["8 bytes that are cut short", [97, 0, 0, 0]],
  ])("refuse %s", (_, encoded) => {
    expect(() => decodeRange(Uint8Array.from(encoded))).toThrow(RangeError);
    expect(() => readPage(Uint8Array.from(encoded))).toThrow(RangeError);
  });

  test("refuse an event of an unknown type", () => {
    expect(decodeWatch(Uint8Array.of(90, 2, 8, 1)).events).toMatchObject([{ type: "delete" }]);
    expect(() => decodeWatch(Uint8Array.of(90, 2, 8, 2))).toThrow(/unknown type 2/);
  });

  test("copy every value out of the response, and pin no more than a kilobyte with it", () => {
    fc.assert(
      fc.property(rangeResponse, (message) => {
        const encoded = Buffer.from(generated.RangeResponse.encode(message).finish());
        const { kvs } = decodeRange(encoded);
        const page = readPage(encoded);
        encoded.fill(0);
        deepStrictEqual(
          page.keys.map(({ packed }) => packed),
          message.kvs.map(({ value }) => pack(value)),
        );
        for (const [index, kv] of kvs.entries()) {
          deepStrictEqual(kv.value, message.kvs[index]?.value);
          expect(kv.value.constructor).toBe(Uint8Array);
          expect(kv.value.buffer.byteLength).toBeLessThanOrEqual(Math.max(1024, kv.value.byteLength));
        }
      }),
      runs,
    );
  });

  test("read a message that lies anywhere in a larger buffer", () => {
    fc.assert(
      fc.property(watchResponse, fc.nat(9), (message, offset) => {
        const encoded = generated.WatchResponse.encode(message).finish();
        const around = new Uint8Array(encoded.length + 20).fill(255);
        around.set(encoded, offset);
        deepStrictEqual(decodeWatch(around.subarray(offset, offset + encoded.length)), watchOf(message));
      }),
      runs,
    );
  });
});

function rangeOf({ header, kvs, more, count }: generated.RangeResponse): RangeResult {
  return { header: headerOf(header), kvs: kvs.map(recordOf), more, count };
}

function watchOf({ header, events, ...rest }: generated.WatchResponse): WatchMessage {
  return {
    ...rest,
    header: headerOf(header),
    events: events.map(({ type, kv }) => ({
      type: type === 0 ? "put" : "delete",
      ...recordOf(kv as generated.KeyValue),
    })),
  };
}

function headerOf(header: generated.ResponseHeader | undefined): generated.ResponseHeader {
  return { clusterId: "0", memberId: "0", revision: 0, raftTerm: 0, ...header };
}

function recordOf({ key, value, ...numbers }: generated.KeyValue): KeyRecord {
  const plain = new Uint8Array(key);
  const strict = attempt(() => new TextDecoder("utf-8", { fatal: true }).decode(plain));
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(plain);
  return { key: text, rawKey: strict instanceof Error ? plain : undefined, value: new Uint8Array(value), ...numbers };
}

function attempt<T>(call: () => T): T | Error {
  try {
    return call();
  } catch (error) {
    return error as Error;
  }
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
