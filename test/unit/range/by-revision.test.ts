import { describe, expect, test } from "vitest";
import { byRevision } from "../../../src/range/by-revision.ts";
import { Random, seed } from "../../support/seed.ts";

interface Item {
  readonly revision: number;
  /** How many came before it. */
  readonly number: number;
}

/** All items in order, and in how many steps. */
function sorted(pages: readonly (readonly Item[])[], stepSize = 1): { items: Item[]; steps: number } {
  const sorting = byRevision(pages, stepSize);
  for (let steps = 1; ; steps++) {
    const { done, value } = sorting.next();
    if (done === true) return { items: value, steps };
  }
}

/** Of ties, what came first. */
function expected(pages: readonly (readonly Item[])[]): Item[] {
  return pages.flat().sort((a, b) => a.revision - b.revision || a.number - b.number);
}

describe(`items of pages (seed ${seed})`, () => {
  const extents: [string, number][] = [
    ["equal revisions", 1],
    ["revisions that differ in a digit", 2_000],
    ["revisions of two digits", 1_000_000],
    ["revisions beyond 32 bits", 2 ** 40],
    ["any revisions there can be", Number.MAX_SAFE_INTEGER],
  ];
  test.each(extents)(
    "come in the order of their revisions, and of ties in that in which they came: %s",
    (_, extent) => {
      const random = new Random(seed);
      for (let i = 0; i < 200; i++) {
        const least = i % 2 === 0 ? 0 : random.below(Number.MAX_SAFE_INTEGER - extent);
        let number = 0;
        const pages = Array.from({ length: random.below(6) }, () =>
          Array.from({ length: 1 + random.below(60) }, () => ({
            revision: least + random.below(extent),
            number: number++,
          })),
        );
        expect(sorted(pages).items).toEqual(expected(pages));
      }
    },
  );

  test("are as they came where that is their order", () => {
    const pages = [[1, 1, 2], [5], [5, 9]].map((page, i) => page.map((revision) => ({ revision, number: i })));
    expect(sorted(pages).items).toEqual(pages.flat());
    expect(sorted([]).items).toEqual([]);
  });

  test("let others have their turn each time some have been gone through, unless they are few", () => {
    const pages = [[{ revision: 9_000_000, number: 0 }], [{ revision: 1, number: 1 }]];
    // Each taken, counted and dealt by three digits, and placed; and what comes after that.
    expect(sorted(pages)).toEqual({ items: expected(pages), steps: 2 * (1 + 3 * 2 + 1) + 1 });
    expect(sorted(pages, 2)).toEqual({ items: expected(pages), steps: 1 });
  });

  test("leave the pages alone", () => {
    const page = [3, 1, 2].map((revision, number) => ({ revision, number }));
    const before = [...page];
    expect(sorted([page]).items.map(({ revision }) => revision)).toEqual([1, 2, 3]);
    expect(page).toEqual(before);
  });
});
