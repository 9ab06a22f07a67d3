import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareKeys, escapeControls, fit, rowsOf, toJson } from "../../src/cli/text.ts";
import { seed } from "../support/seed.ts";

/** What a terminal obeys: C0 and C1 controls and DEL. What changes how other text looks: direction marks. */
const dangerous = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/u;
const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({
    unit: fc.constantFrom("\x1b", "[", "3", "m", "\x9b", "\u202e", "e", "\u0301", "値", "👩", "\u200d", "\n"),
  }),
);

describe(`text for a terminal (seed ${seed})`, () => {
  test("has no character that a terminal obeys, or that hides another", () => {
    fc.assert(
      fc.property(anyText, fc.integer({ min: 0, max: 40 }), (text, cells) => {
        expect(escapeControls(text)).not.toMatch(dangerous);
        expect(toJson(text)).not.toMatch(dangerous);
        expect(fit(text, cells).plain).not.toMatch(dangerous);
      }),
      { seed },
    );
  });

  test("shows controls as escapes", () => {
    expect(escapeControls("a\n\t\r\0\x1b[31m\x7f\x9b\u202e\u{e0001}z")).toBe(
      "a\\n\\t\\r\\x00\\x1b[31m\\x7f\\x9b\\u202e\\u{e0001}z",
    );
    expect(escapeControls("a\n\tb\x07", "\n\t")).toBe("a\n\tb\\x07");
  });

  test("leaves writing systems and emoji alone", () => {
    for (const text of ["naïve", "値は日本語", "עברית", "न\u094dह", "👨\u200d👩\u200d👧", "❤\ufe0f", "می\u200cخواهم"]) {
      expect(escapeControls(text)).toBe(text);
    }
  });

  test("is still the same in JSON", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(JSON.parse(toJson({ text }))).toEqual({ text });
      }),
      { seed },
    );
  });

  test("is never wider than it may be, and whole where it fits", () => {
    fc.assert(
      fc.property(anyText, fc.integer({ min: 0, max: 60 }), (text, cells) => {
        const fitted = fit(text, cells);
        expect(fitted.cells).toBeLessThanOrEqual(cells);
        if (!fitted.plain.endsWith("…")) expect([escapeControls(text), ""]).toContain(fitted.plain);
      }),
      { seed },
    );
  });

  test("is cut between characters, with a mark", () => {
    expect(fit("abcdef", 6)).toMatchObject({ plain: "abcdef", cells: 6 });
    expect(fit("abcdef", 5)).toMatchObject({ plain: "abcd…", cells: 5 });
    expect(fit("日本語", 6)).toMatchObject({ plain: "日本語", cells: 6 });
    expect(fit("日本語", 5)).toMatchObject({ plain: "日本…", cells: 5 });
    expect(fit("日本語", 4)).toMatchObject({ plain: "日…", cells: 3 });
    expect(fit("ab\x1bc", 5)).toMatchObject({ plain: "ab…", cells: 3 });
    expect(fit("e\u0301e\u0301e\u0301", 2)).toMatchObject({ plain: "e\u0301…", cells: 2 });
    expect(fit("abc", 0)).toMatchObject({ plain: "", cells: 0 });
  });

  test("shows escapes in the style that is asked for", () => {
    expect(fit("a\nb", 9, (escape) => `<${escape}>`)).toEqual({ styled: "a<\\n>b", plain: "a\\nb", cells: 4 });
  });

  test.each([
    ["abc", 3],
    ["値は日本語です", 14],
    ["한국어", 6],
    ["ｆｕｌｌ", 8],
    ["👍", 2],
    ["👨\u200d👩\u200d👧", 2],
    ["🇨🇭", 2],
    ["❤\ufe0f", 2],
    ["e\u0301", 1],
    ["नमस्ते", 4],
    ["→●…", 3],
  ])("knows that %s is %d wide", (text, cells) => {
    expect(fit(text, 99).cells).toBe(cells);
  });

  test("is not read further than it can be seen", () => {
    const started = performance.now();
    fit("\u0301".repeat(10_000_000), 80);
    expect(performance.now() - started).toBeLessThan(500);
  });
});

test("a line takes as many rows as a terminal wraps it into", () => {
  expect(rowsOf("", 10)).toBe(1);
  expect(rowsOf("0123456789", 10)).toBe(1);
  expect(rowsOf("01234567890", 10)).toBe(2);
  // A wide character is not divided.
  expect(rowsOf("012345678値", 10)).toBe(2);
  expect(rowsOf("値".repeat(10), 5)).toBe(5);
});

test(`keys are ordered as the store orders them (seed ${seed})`, () => {
  const key = fc.string({ unit: fc.constantFrom("a", "b", "\u07ff", "\ud7ff", "\ue000", "\uffff", "\u{10000}", "😀") });
  fc.assert(
    fc.property(key, key, (a, b) => {
      expect(Math.sign(compareKeys(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
    { seed },
  );
});
