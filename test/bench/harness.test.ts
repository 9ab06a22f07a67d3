import { describe, expect, it } from "vitest";
import { type Case, figure, ours, pooled, reaches } from "../../bench/harness/answer.ts";
import { plot } from "../../bench/harness/plot.ts";
import { withResults } from "../../bench/harness/report.ts";
import { table } from "../../bench/harness/table.ts";

const compared: Case = {
  name: "a set",
  unit: "us",
  target: { atMost: 0.5, than: "another" },
  contenders: [
    { name: ours, samples: [3, 1, 2] },
    { name: "another", samples: [4000, 4000, 4000] },
  ],
};

describe("a figure", () => {
  it("is the middle of the samples, whatever their order", () => {
    expect(figure([3, 1, 2]).median).toBe(2);
    expect(figure([4, 1, 2, 3]).median).toBe(2.5);
    expect(figure([7])).toEqual({ median: 7, low: 7, high: 7 });
  });

  it("tells between what nine tenths of them lie", () => {
    const samples = Array.from({ length: 101 }, (_, i) => i);
    expect(figure(samples)).toEqual({ median: 50, low: 5, high: 95 });
  });
});

describe("a target", () => {
  it("is reached or missed by the median", () => {
    expect(reaches({ ...compared, target: { atMost: 2 } })).toBe(true);
    expect(reaches({ ...compared, target: { atMost: 1.9 } })).toBe(false);
  });

  it("may be a share of what another takes", () => {
    expect(reaches(compared)).toBe(true);
    expect(reaches({ ...compared, target: { atMost: 0.0001, than: "another" } })).toBe(false);
  });

  it("need not be", () => {
    const { target: _, ...without } = compared;
    expect(reaches(without)).toBeUndefined();
  });
});

describe("the answers of several processes", () => {
  it("are one, with the samples of all", () => {
    const { cases } = pooled([{ cases: [compared] }, { cases: [compared] }]);
    expect(cases).toHaveLength(1);
    expect(cases[0]!.target).toEqual(compared.target);
    expect(cases[0]!.contenders.map(({ samples }) => samples)).toEqual([
      [3, 1, 2, 3, 1, 2],
      [4000, 4000, 4000, 4000, 4000, 4000],
    ]);
  });

  it("are nothing where there is none", () => {
    expect(pooled([])).toEqual({ cases: [] });
  });
});

describe("a table", () => {
  const lines = table([compared]).split("\n");

  it("has a row for each contender, all as wide as the head", () => {
    expect(lines).toHaveLength(4);
    expect(new Set(lines.map(({ length }) => length)).size).toBe(1);
  });

  it("tells the case, the figures and the verdict once", () => {
    const cells = lines.slice(2).map((line) => line.split("|").map((cell) => cell.trim()));
    expect(cells[0]!.slice(1, -1)).toEqual(["a set", ours, "2 us", "1.1 to 2.9", "", "yes: 0.5 of another"]);
    expect(cells[1]!.slice(1, -1)).toEqual(["", "another", "4,000 us", "4,000 to 4,000", "2,000", ""]);
  });

  it("shouts where a target is missed", () => {
    expect(table([{ ...compared, target: { atMost: 1 } }])).toContain("NO: 1");
  });
});

describe("a plot", () => {
  const points = [
    [1, 2.1],
    [10, 2.2],
    [1000, 2.15],
  ] as const;
  const svg = plot({ file: "x.svg", title: "a < b & c", x: "keys", y: "hops", series: [{ name: "flat", points }] });

  it("is well-formed", () => {
    const open: string[] = [];
    for (const [, end, name, attributes] of svg.matchAll(/<(\/?)(\w+)([^>]*)>/g)) {
      if (end === "/") expect(open.pop()).toBe(name);
      else if (!attributes!.endsWith("/")) open.push(name!);
    }
    expect(open).toEqual([]);
    expect(svg).toContain("a &lt; b &amp; c");
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it("shows what varies little as nearly flat", () => {
    const [, line] = /polyline points="([^"]+)"/.exec(svg)!;
    const heights = line!.split(" ").map((point) => Number(point.split(",")[1]));
    expect(Math.max(...heights) - Math.min(...heights)).toBeLessThan(5);
  });

  it("can be drawn of a single point", () => {
    const series = [{ name: "one", points: [[10, 10]] as const }];
    expect(plot({ file: "x.svg", title: "", x: "", y: "", series })).not.toMatch(/NaN|Infinity/);
  });
});

describe("the report", () => {
  const marks = ["<!-- results: npm run bench -- --write -->", "<!-- end of the results -->"] as const;
  const text = `before\n${marks[0]}\nold\n${marks[1]}\nafter\n`;

  it("puts results between the marks, in the place of the old ones", () => {
    const once = withResults(text, "new");
    expect(once).toBe(`before\n${marks[0]}\n\nnew\n${marks[1]}\nafter\n`);
    expect(withResults(once, "new")).toBe(once);
  });

  it("fails where there are no marks", () => {
    expect(() => withResults("before after", "new")).toThrow("lacks its marks");
  });
});
