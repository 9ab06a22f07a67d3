/** Puts the results of a full run into docs/performance.md, between its two marks. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import type { Asked } from "../main.ts";
import { table } from "./table.ts";

const file = new URL("../../docs/performance.md", import.meta.url);
const begin = "<!-- results: npm run bench -- --write -->";
const end = "<!-- end of the results -->";

export function writeReport(asked: readonly Asked[]): void {
  const sections = asked.map(({ question, answer }) => {
    const plots = (answer.plots ?? []).map(({ title, file }) => `\n![${title}](${file})\n`);
    return `### ${question.title}\n\n${question.about}\n\n${table(answer.cases)}\n${plots.join("")}`;
  });
  writeFileSync(file, withResults(readFileSync(file, "utf8"), [machine(), "", ...sections].join("\n")));
}

/** The text with these results between its marks, in the place of others. */
export function withResults(text: string, results: string): string {
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`docs/performance.md lacks its marks: ${begin} and ${end}`);
  return `${text.slice(0, from)}${begin}\n\n${results}\n${text.slice(to)}`;
}

/** Where and with what it was measured. */
function machine(): string {
  const gib = Math.round(totalmem() / 2 ** 30);
  const etcd = /Version: (\S+)/.exec(
    execFileSync(process.env["EV_TEST_ETCD"]!, ["--version"], { encoding: "utf8" }),
  )?.[1];
  const day = new Date().toISOString().slice(0, 10);
  const peers = ["rxjs", "@preact/signals-core", "effect", "etcd3", "@grpc/grpc-js"].map(
    (name) => `${name} ${version(name)}`,
  );
  return (
    `${day}, \`npm run bench -- --write\`: ${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${gib} GiB; ` +
    `Node ${process.version}, etcd ${etcd}; ${peers.join(", ")}.`
  );
}

function version(name: string): string {
  const manifest = readFileSync(new URL(`../../node_modules/${name}/package.json`, import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
