import { describe, expect, test } from "vitest";
import { Marks } from "../../../src/range/marks.ts";

describe("marks", () => {
  test("has each position once, however many stand there", () => {
    const marks = new Marks();
    marks.enter(3);
    marks.enter(3);
    marks.enter(5);
    expect(marks.positions()).toEqual([3, 5]);
    expect(marks.size).toBe(2);
    expect(marks.newest).toBe(5);
  });

  test("gives a position up with the last who leaves it", () => {
    const marks = new Marks();
    const mark = marks.enter(3);
    expect(marks.enter(3)).toBe(mark);
    expect(marks.leave(mark)).toBe(false);
    expect(marks.positions()).toEqual([3]);
    expect(marks.leave(mark)).toBe(true);
    expect(marks.positions()).toEqual([]);
    expect(marks.size).toBe(0);
    expect(marks.newest).toBe(0);
  });

  test("gives up positions in any order", () => {
    const orders = [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ];
    for (const order of orders) {
      const marks = new Marks();
      const entered = [10, 20, 30].map((position) => marks.enter(position));
      const left = new Set([10, 20, 30]);
      for (const index of order) {
        marks.leave(entered[index] as (typeof entered)[number]);
        left.delete(10 * (index + 1));
        expect(marks.positions()).toEqual([...left]);
        expect(marks.size).toBe(left.size);
        expect(marks.newest).toBe(Math.max(0, ...left));
      }
      marks.enter(40);
      expect(marks.positions()).toEqual([40]);
    }
  });
});
