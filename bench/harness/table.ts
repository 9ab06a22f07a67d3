/** Answers as tables: for a terminal, and as Markdown for docs/performance.md, which reads well as both. */
import { type Case, figure, ours, reaches } from "./answer.ts";

/** One table: a row for each contender of each case. */
export function table(cases: readonly Case[]): string {
  const rows = cases.flatMap((each) => each.contenders.map((contender, i) => row(each, contender, i === 0)));
  const head = ["what", "by", "median", "9 of 10 within", "times ours", "must reach"];
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((cells) => cells[column]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (right.has(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!))).join(" | ")} |`;
  const rule = widths.map((width, column) => (right.has(column) ? `${"-".repeat(width - 1)}:` : "-".repeat(width)));
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}

const right = new Set([2, 3, 4]);

function row(each: Case, { name, samples }: Case["contenders"][number], first: boolean): string[] {
  const { median, low, high } = figure(samples);
  const base = each.contenders.find((contender) => contender.name === ours);
  const times = base === undefined || name === ours ? "" : short(median / figure(base.samples).median);
  return [
    first ? each.name : "",
    name,
    `${short(median)} ${each.unit}`,
    `${short(low)} to ${short(high)}`,
    times,
    name === ours ? verdict(each) : "",
  ];
}

function verdict(each: Case): string {
  const { target } = each;
  if (target === undefined) return "";
  const bound = target.than === undefined ? short(target.atMost) : `${short(target.atMost)} of ${target.than}`;
  return `${reaches(each) ? "yes" : "NO"}: ${bound}`;
}

/** Three digits that count, at most. */
function short(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(value < 0.1 ? 1 : 2 + Number(value >= 10))));
}
