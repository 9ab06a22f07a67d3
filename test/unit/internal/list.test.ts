import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Link, List } from "../../../src/internal/list.ts";
import { seed } from "../../support/seed.ts";

describe(`the list of links (seed ${seed})`, () => {
  test("holds its links in the order in which they joined, like an array", () => {
    const step = fc.record({ link: fc.nat(9), list: fc.nat(1), join: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const links = Array.from({ length: 10 }, () => new Link());
        const lists = [new List<Link>(), new List<Link>()];
        const arrays: Link[][] = [[], []];
        for (const { link: which, list, join } of steps) {
          const link = links[which]!;
          link.unlink();
          for (const array of arrays) if (array.includes(link)) array.splice(array.indexOf(link), 1);
          if (join) {
            lists[list]!.add(link);
            arrays[list]!.push(link);
          }
          for (const [i, { first, last, size }] of lists.entries()) {
            const forwards: Link[] = [];
            for (let at = first; at !== null; at = at.after) forwards.push(at);
            const backwards: Link[] = [];
            for (let at = last; at !== null; at = at.before) backwards.unshift(at);
            expect(forwards).toEqual(arrays[i]);
            expect(backwards).toEqual(arrays[i]);
            expect(size).toBe(arrays[i]!.length);
          }
        }
      }),
      { seed, numRuns: 100 },
    );
  });

  test("lets a link that left know nobody", () => {
    const list = new List<Link>();
    const links = [new Link(), new Link(), new Link()];
    for (const link of links) list.add(link);
    links[1]!.unlink();
    expect(links[1]).toEqual({ before: null, after: null, list: null });
  });
});
