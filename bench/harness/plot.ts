/** A plot as SVG, with both axes logarithmic: how a cost grows shows as a slope, and a flat line is a flat cost. */
import type { Plot } from "./answer.ts";

const width = 720;
const height = 400;
const area = { left: 80, right: 675, top: 80, bottom: 340 };
/** Told apart by those who do not see all colours (Okabe and Ito's palette); the ground is white on a dark page, too. */
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];

export function plot({ title, x, y, series }: Plot): string {
  const points = series.flatMap(({ points }) => points);
  const across = scale(
    points.map(([at]) => at),
    area.left,
    area.right,
  );
  const up = scale(
    points.map(([, at]) => at),
    area.bottom,
    area.top,
    3,
  );
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(area.left, 24, title, 'font-size="15"'),
    text((area.left + area.right) / 2, height - 12, x, 'text-anchor="middle"'),
    text(
      18,
      (area.top + area.bottom) / 2,
      y,
      `text-anchor="middle" transform="rotate(-90 18 ${(area.top + area.bottom) / 2})"`,
    ),
    ...across.ticks.flatMap((tick) => [
      line(across.at(tick), area.top, across.at(tick), area.bottom),
      text(across.at(tick), area.bottom + 18, short(tick), 'text-anchor="middle"'),
    ]),
    ...up.ticks.flatMap((tick) => [
      line(area.left, up.at(tick), area.right, up.at(tick)),
      text(area.left - 8, up.at(tick) + 4, short(tick), 'text-anchor="end"'),
    ]),
    ...series.flatMap(({ name, points }, i) => {
      const colour = colours[i % colours.length]!;
      // Three to a row.
      const legendX = area.left + (i % 3) * 215;
      const legendY = 46 + Math.floor(i / 3) * 18;
      const path = points.map(([a, b]) => `${round(across.at(a))},${round(up.at(b))}`);
      return [
        `<polyline points="${path.join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`,
        ...points.map(
          ([a, b]) => `<circle cx="${round(across.at(a))}" cy="${round(up.at(b))}" r="3" fill="${colour}"/>`,
        ),
        `<circle cx="${legendX + 4}" cy="${legendY - 4}" r="4" fill="${colour}"/>`,
        text(legendX + 14, legendY, name),
      ];
    }),
    "</svg>",
  ];
  return `${parts.join("\n")}\n`;
}

/**
 * Places values between two pixels, with ticks at the powers of ten around them: `decades` of them at least, so that what
 * varies little looks like that.
 */
function scale(
  values: readonly number[],
  from: number,
  to: number,
  decades = 1,
): { readonly at: (value: number) => number; readonly ticks: readonly number[] } {
  let low = Math.floor(Math.log10(Math.min(...values)));
  let high = Math.ceil(Math.log10(Math.max(...values)));
  for (let more = decades - (high - low); more > 0; more--) {
    if (more % 2 === 1) high++;
    else low--;
  }
  return {
    at: (value) => round(from + ((Math.log10(value) - low) / (high - low)) * (to - from)),
    ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)),
  };
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="#dddddd"/>`;
}

function text(x: number, y: number, content: string, attributes = ""): string {
  return `<text x="${x}" y="${y}" fill="#222222" ${attributes}>${escaped(content)}</text>`;
}

function short(value: number): string {
  return value >= 1 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(1)));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(content: string): string {
  return content.replace(/&/g, "&amp;").replace(/</g, "&lt;");
}
