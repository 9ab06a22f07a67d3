/**
 * The API report, etc/api.d.ts: every declaration that the package's entry points reach, without comments, so that a
 * change of the public surface shows in review.
 *
 *     node scripts/api.mjs            writes it
 *     node scripts/api.mjs --check    fails where the committed one differs
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { argv, execPath, exit } from "node:process";
import { root } from "./bootstrap.mjs";

const report = join(root, "etc/api.d.ts");
const current = describe();
if (!argv.includes("--check")) {
  writeFileSync(report, current);
} else if (readCommitted() !== current) {
  showDifference();
  console.error("The public API differs from etc/api.d.ts: run `npm run api`, look at the change, and commit it.");
  exit(1);
}

function describe() {
  const out = mkdtempSync(join(tmpdir(), "event-value-api-"));
  try {
    emit(out);
    const entries = Object.entries(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).exports)
      .filter(([, target]) => typeof target === "object")
      .map(([subpath, { types }]) => ({ subpath, file: relative("dist", types) }));
    /** @type {Set<string>} */
    const files = new Set();
    for (const { file } of entries) reach(out, file, files);
    const list = entries.map(({ subpath, file }) => `// event-value${subpath.slice(1)}: ${file}\n`).join("");
    const texts = [...files].toSorted().map((file) => `\n// ${file}\n\n${readFileSync(join(out, file), "utf8")}`);
    return `// The public API, written by \`npm run api\`.\n//\n${list}${texts.join("")}`;
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

function emit(outDir) {
  const options = ["--noCheck", "--emitDeclarationOnly", "--removeComments", "--outDir", outDir];
  const tsc = spawnSync(execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json", ...options], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (tsc.status !== 0) exit(1);
}

/** Adds `file` and all that it imports from the package itself to `files`. */
function reach(folder, file, files) {
  if (files.has(file)) return;
  files.add(file);
  const text = readFileSync(join(folder, file), "utf8");
  for (const [, specifier] of text.matchAll(/(?:from\s+|import\(|import\s+)"(\.[^"]+)"/g)) {
    reach(folder, join(dirname(file), specifier.replace(/\.[jt]s$/, ".d.ts")), files);
  }
}

function readCommitted() {
  try {
    return readFileSync(report, "utf8");
  } catch {
    return "";
  }
}

function showDifference() {
  spawnSync("diff", ["-u", "--label", "etc/api.d.ts", "--label", "src", report, "-"], {
    input: current,
    stdio: ["pipe", 2, 2],
  });
}
