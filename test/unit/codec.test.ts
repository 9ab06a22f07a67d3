import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytes, json, type StandardIssue, type StandardResult, type StandardSchemaV1, text } from "../../src/codec.ts";
import { turn } from "../support/promises.ts";
import { seed } from "../support/seed.ts";

const utf8 = new TextEncoder();

/** A schema that judges by `validate`. */
function schema<I, O = I>(
  validate: (value: unknown) => StandardResult<O> | Promise<StandardResult<O>>,
): StandardSchemaV1<I, O> {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

const port = schema<number>((value) =>
  Number.isInteger(value) ? { value: value as number } : { issues: [{ message: "not a port" }] },
);

describe("bytes", () => {
  test("copies both ways, so that neither side can change what the other holds", () => {
    for (const original of [new Uint8Array([1, 2, 3]), Buffer.from([1, 2, 3])]) {
      const stored = bytes.encode(original, "k");
      const given = bytes.decode(stored, "k");
      expect([...stored]).toEqual([1, 2, 3]);
      original[0] = 9;
      expect([...stored]).toEqual([1, 2, 3]);
      stored[1] = 9;
      expect([...given]).toEqual([1, 2, 3]);
    }
    const received = Buffer.from([1, 2, 3]);
    const given = bytes.decode(received, "k");
    received[0] = 9;
    expect([...given]).toEqual([1, 2, 3]);
  });

  test("keeps only what it is given, not the buffer that is a part of", () => {
    const part = new Uint8Array(1000).subarray(10, 12);
    expect(bytes.encode(part, "k").buffer.byteLength).toBe(2);
    expect(bytes.decode(part, "k").buffer.byteLength).toBe(2);
  });

  test("holds zero bytes", () => {
    expect(bytes.decode(bytes.encode(new Uint8Array(0), "k"), "k")).toHaveLength(0);
  });

  test("refuses what is not bytes with a TypeError", () => {
    for (const value of ["text", [1, 2], null, undefined, new ArrayBuffer(1), new Uint16Array(1)]) {
      expect(() => bytes.encode(value as never, "k")).toThrow(TypeError);
    }
  });
});

describe(`text (seed ${seed})`, () => {
  test("gives back every well-formed string", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (value) => text.decode(text.encode(value, "k"), "k") === value),
      { seed },
    );
    for (const value of ["", "\uFEFFwith a mark", "\0", "zażółć", "🦀"]) {
      expect(text.decode(text.encode(value, "k"), "k")).toBe(value);
    }
  });

  test("refuses lone surrogates with a TypeError, wherever they stand, and accepts pairs", () => {
    for (const value of ["\uD800", "a\uDC00b", "\uDC00\uD800", "🦀\uD83E", "\uD83E🦀"]) {
      expect(() => text.encode(value, "k")).toThrow(TypeError);
    }
    expect(text.encode("\uD83E\uDD80", "k")).toEqual(utf8.encode("🦀"));
  });

  test("refuses what is not a string with a TypeError", () => {
    for (const value of [1, null, undefined, {}, new String("text")]) {
      expect(() => text.encode(value as string, "k")).toThrow(TypeError);
    }
  });

  test("refuses to decode bytes that are not UTF-8", () => {
    for (const stored of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]]) {
      expect(() => text.decode(new Uint8Array(stored), "k")).toThrow(TypeError);
    }
  });
});

describe(`json (seed ${seed})`, () => {
  test("gives back every value JSON can hold", () => {
    const codec = json<fc.JsonValue>();
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        expect(codec.decode(codec.encode(value, "k"), "k")).toEqual(JSON.parse(JSON.stringify(value)));
      }),
      { seed },
    );
    expect(codec.decode(codec.encode(null, "k"), "k")).toBe(null);
    expect(codec.encode({ a: ["ż"] }, "k")).toEqual(utf8.encode('{"a":["ż"]}'));
  });

  test("refuses to encode what JSON cannot hold with a TypeError", () => {
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    for (const value of [undefined, () => {}, Symbol("s"), 1n, cycle, { toJSON: () => undefined }]) {
      expect(() => json<unknown>().encode(value, "k")).toThrow(TypeError);
    }
  });

  test("refuses to decode what is not JSON, or not UTF-8", () => {
    for (const stored of ["", "{", "undefined", "{'a':1}", "\uFEFF1"]) {
      expect(() => json().decode(utf8.encode(stored), "k")).toThrow(SyntaxError);
    }
    expect(() => json().decode(new Uint8Array([0x22, 0xff, 0x22]), "k")).toThrow(TypeError);
  });

  test("with a schema decodes to what the schema gives", () => {
    const withDefault = schema<{ host: string; port?: number }, { host: string; port: number }>((value) => ({
      value: { port: 80, ...(value as { host: string }) },
    }));
    const codec = json(withDefault);
    expect(codec.decode(utf8.encode('{"host":"a"}'), "k")).toEqual({ host: "a", port: 80 });
    expect(codec.decode(codec.encode({ host: "a", port: 1 }, "k"), "k")).toEqual({ host: "a", port: 1 });
  });

  test("with a schema refuses what the schema refuses, both ways, saying why and where", () => {
    const codec = json(port);
    expect(codec.decode(utf8.encode("80"), "k")).toBe(80);
    expect(() => codec.decode(utf8.encode('"80"'), "k")).toThrow("not a port");
    expect(() => codec.encode(1.5, "k")).toThrow(new TypeError("not a port"));

    const where = schema<unknown>(() => ({
      issues: [
        { message: "bad", path: ["hosts", { key: 0 }, "name"] },
        { message: "worse", path: [] },
      ],
    }));
    expect(() => json(where).decode(utf8.encode("1"), "k")).toThrow("hosts.0.name: bad; worse");
    expect(() => json(schema<unknown>(() => ({ issues: [] }))).decode(utf8.encode("1"), "k")).toThrow("refused");
  });

  test("with a schema says of a huge value that is refused the first issues, each in part, and how many more", () => {
    const long = "x".repeat(1_000_000);
    const refused = (issues: readonly StandardIssue[]) => () =>
      json(schema<unknown>(() => ({ issues }))).encode(1, "k");
    const issues = Array.from({ length: 100_000 }, (_, i) => ({ message: `bad ${i}`, path: [i] }));
    const first = "0: bad 0; 1: bad 1; 2: bad 2; 3: bad 3; 4: bad 4";
    expect(refused(issues)).toThrow(new TypeError(`${first}; and 99995 more`));
    expect(refused(issues.slice(0, 6))).toThrow(new TypeError(`${first}; and 1 more`));
    expect(refused(issues.slice(0, 5))).toThrow(new TypeError(first));
    const cut = `${long.slice(0, 200)}…`;
    expect(refused([{ message: long, path: [long, "key"] }])).toThrow(new TypeError(`${cut}: ${cut}`));
  });

  test("with a schema that throws passes its exception on", () => {
    const broken = schema<unknown>(() => {
      throw new RangeError("broken");
    });
    expect(() => json(broken).decode(utf8.encode("1"), "k")).toThrow(new RangeError("broken"));
    expect(() => json(broken).encode(1, "k")).toThrow(new RangeError("broken"));
  });

  test("with a schema that validates asynchronously is a TypeError, and its promise goes unnoticed", async () => {
    const later = json(schema<number>(() => Promise.reject(new Error("late"))));
    expect(() => later.decode(utf8.encode("1"), "k")).toThrow(TypeError);
    expect(() => later.encode(1, "k")).toThrow(TypeError);
    // oxlint-disable-next-line unicorn/no-thenable -- it is what is refused
    const thenable = { then() {} } as unknown as Promise<StandardResult<number>>;
    expect(() => json(schema<number>(() => thenable)).decode(utf8.encode("1"), "k")).toThrow(TypeError);
    // vitest fails the run on an unhandled rejection, which is known when the loop has turned.
    await turn();
  });

  test("takes functions that are schemas, and refuses everything else with a TypeError at the call", () => {
    const callable = Object.assign(() => {}, port);
    expect(json(callable).decode(utf8.encode("80"), "k")).toBe(80);
    const makeCodec = json as (given: unknown) => unknown;
    for (const given of [null, 1, "schema", {}, () => {}, { "~standard": {} }, { "~standard": { validate: 1 } }]) {
      expect(() => makeCodec(given)).toThrow(TypeError);
    }
  });

  test("works detached from its object", () => {
    const codec = json<number>();
    const stored = codec.encode.call(undefined as never, 1, "k");
    expect(codec.decode.call(undefined as never, stored, "k")).toBe(1);
  });
});
