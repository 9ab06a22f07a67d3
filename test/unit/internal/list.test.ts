import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Link, List } from "../../../src/internal/list.ts";
import { seed } from "../../support/seed.ts";

const newLink = (): Link => ({ before: null, after: null });

describe(`the list of links (seed ${seed})`, () => {
  test("holds its links in the order in which they joined, like an array", () => {
    const step = fc.record({ link: fc.nat(9), list: fc.nat(1), join: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const links = Array.from({ length: 10 }, newLink);
        const lists = [new List(), new List()];
        const arrays: Link[][] = [[], []];
        for (const { link: which, list, join } of steps) {
          const link = links[which]!;
          const at = arrays.findIndex((array) => array.includes(link));
          expect(link.after !== null).toBe(at >= 0);
          if (at >= 0) {
            lists[at]!.remove(link);
            arrays[at]!.splice(arrays[at]!.indexOf(link), 1);
          }
          if (join) {
            lists[list]!.add(link);
            arrays[list]!.push(link);
          }
          for (const [i, ring] of lists.entries()) {
            const forwards: Link[] = [];
            for (let at = ring.after; at !== ring; at = at.after!) forwards.push(at);
            const backwards: Link[] = [];
            for (let at = ring.before; at !== ring; at = at.before!) backwards.unshift(at);
            expect(forwards).toEqual(arrays[i]);
            expect(backwards).toEqual(arrays[i]);
            expect(ring.size).toBe(arrays[i]!.length);
          }
        }
      }),
      { seed, numRuns: 100 },
    );
  });

  test("lets a link that left know nobody", () => {
    const list = new List();
    const links = [newLink(), newLink(), newLink()];
    for (const link of links) list.add(link);
    list.remove(links[1]!);
    expect(links[1]).toEqual({ before: null, after: null });
  });
});
