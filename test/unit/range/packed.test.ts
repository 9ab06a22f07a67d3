import { describe, expect, test } from "vitest";
import { holds, mostAsText, pack, samePacked, unpack } from "../../../src/range/packed.ts";
import { Random, seed } from "../../support/seed.ts";

const encoder = new TextEncoder();

const samples: [string, Uint8Array][] = [
  ["nothing", new Uint8Array(0)],
  ["ASCII", encoder.encode("plain text\0\n\x7f")],
  ["text beyond ASCII", encoder.encode("zażółć gęślą jaźń \u{1f600}")],
  ["a byte order mark", Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)],
  ["U+FFFD itself", encoder.encode("a\uFFFDb")],
  ["every byte", Uint8Array.from({ length: 256 }, (_, i) => i)],
  ["bytes that are not UTF-8, one by one", Uint8Array.of(0x80, 0xff, 0xc0, 0xfe)],
  ["as many as are kept as text", new Uint8Array(mostAsText).fill(0xe9)],
  ["more than that", new Uint8Array(mostAsText + 1).fill(0x61)],
];

describe(`packed bytes (seed ${seed})`, () => {
  test.each(samples)("are what they were: %s", (_what, bytes) => {
    const packed = pack(bytes.slice());
    expect(unpack(packed)).toEqual(bytes);
    expect(holds(packed, bytes)).toBe(true);
    expect(samePacked(packed, pack(bytes.slice()))).toBe(true);
  });

  test("are no others", () => {
    const random = new Random(seed);
    for (let i = 0; i < 10_000; i++) {
      const [a, b] = [0, 0].map(() =>
        Uint8Array.from({ length: random.below(4) }, () => random.pick([0, 97, 0x80, 0xc3, 0xa9, 0xff])),
      ) as [Uint8Array, Uint8Array];
      const same = Buffer.compare(a, b) === 0;
      expect(samePacked(pack(a), pack(b))).toBe(same);
      expect(holds(pack(a), b)).toBe(same);
    }
    const big = new Uint8Array(mostAsText + 1);
    const other = big.slice().fill(1, mostAsText);
    expect([samePacked(pack(big), pack(other)), holds(pack(big), other)]).toEqual([false, false]);
    expect([samePacked(pack(big), ""), holds("", big)]).toEqual([false, false]);
  });

  test("of small values do not change with what they were made of", () => {
    const bytes = Uint8Array.of(1, 2, 3);
    const packed = pack(bytes);
    bytes.fill(9);
    expect(unpack(packed)).toEqual(Uint8Array.of(1, 2, 3));
  });

  test("are unpacked into places of their own", () => {
    const packed = Array.from({ length: 3000 }, (_, i) => pack(encoder.encode(`${i}`.padStart(i % 50, "x"))));
    const unpacked = packed.map(unpack);
    for (const [i, bytes] of unpacked.entries()) expect(holds(packed[i]!, bytes)).toBe(true);
  });
});
