import { describe, expect, test } from "vitest";
import { countUpTo } from "../../../src/range/ascending.ts";

describe("countUpTo", () => {
  test("counts the numbers that are not above the limit, for every length and limit", () => {
    for (let length = 0; length < 20; length++) {
      const ascending = Array.from({ length }, (_, i) => 3 * i);
      for (let limit = -2; limit < 60; limit++) {
        expect(countUpTo(ascending, limit)).toBe(ascending.filter((number) => number <= limit).length);
      }
    }
  });

  test("takes numbers beyond 32 bits", () => {
    expect(countUpTo([2 ** 40, 2 ** 52, 2 ** 52 + 1], 2 ** 52)).toBe(2);
  });
});
