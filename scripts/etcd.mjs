#!/usr/bin/env node
/**
 * Finds an etcd server for the tests, and fetches one where there is none.
 *
 *     node scripts/etcd.mjs [3.4|3.5]     prints the path of an etcd, of any series from 3.4 on by default
 *
 * It looks at `ETCD_BIN`, at the PATH, into .cache/etcd/<version>/, and last takes Debian's package `etcd-server`
 * from the mirror this machine is set up for. The package is unpacked into the cache, never installed; apt works on
 * lists and a cache of its own, so that it needs neither root nor an earlier `apt-get update`, and changes nothing.
 */
import { execFile } from "node:child_process";
import {
  access,
  chmod,
  constants,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { argv, env, exit } from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const cache = join(dirname(fileURLToPath(import.meta.url)), "..", ".cache", "etcd");

/** The Debian suite that has each series. */
const suites = { 3.4: "bookworm", 3.5: "trixie" };
/** The series of etcd that are to be had, oldest first. */
export const allSeries = /** @type {("3.4" | "3.5")[]} */ (Object.keys(suites));

/**
 * Resolves with an etcd of `series`, or of any series from 3.4 on; rejects with an error that says what was tried and
 * what to do. Several callers at once, in any number of processes, do not disturb each other.
 *
 * @param {{ series?: "3.4" | "3.5", log?: (line: string) => void }} [options]
 * @returns {Promise<{ bin: string, version: string }>}
 */
export async function findEtcd({ series, log = () => {} } = {}) {
  if (series !== undefined && !allSeries.includes(series)) {
    throw new RangeError(`series must be ${allSeries.join(" or ")}, not ${series}`);
  }
  if (env.ETCD_BIN) {
    const found = await inspect(env.ETCD_BIN);
    if (found === undefined) throw new Error(`ETCD_BIN is not an etcd server that runs here: ${env.ETCD_BIN}`);
    if (fits(found, series)) return found;
  }
  for (const bin of [...onPath(), ...(await cached())]) {
    const found = await inspect(bin);
    if (found !== undefined && fits(found, series)) return found;
  }
  const wanted = `etcd ${series ?? "3.4 or newer"}`;
  try {
    log(`fetching ${wanted} from this machine's Debian mirror`);
    const found = await fetchPackage(series);
    if (fits(found, series)) return found;
    throw new Error(`the mirror has etcd ${found.version}`);
  } catch (cause) {
    throw new Error(
      `no ${wanted}: not in ETCD_BIN, not on the PATH, not in .cache/etcd, and fetching it failed:\n` +
        `${indent(explain(cause))}\n` +
        "Install etcd (Debian: apt-get install etcd-server; macOS: brew install etcd), or set ETCD_BIN to the path of " +
        "an etcd binary.",
      { cause },
    );
  }
}

function onPath() {
  return (env.PATH ?? "")
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, "etcd"));
}

/** Oldest first: what holds on an old server is what must hold, and the choice does not depend on the file system. */
async function cached() {
  const versions = (await readdir(cache).catch(() => [])).filter((name) => /^\d/.test(name));
  return versions
    .toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .map((name) => join(cache, name, "etcd"));
}

async function inspect(bin) {
  try {
    await access(bin, constants.X_OK);
    const version = /^etcd Version: (\d+\.\d+\.\d+)/m.exec((await run(bin, ["--version"])).stdout)?.[1];
    return version === undefined ? undefined : { bin, version };
  } catch {
    return undefined;
  }
}

function fits({ version }, series) {
  if (series !== undefined) return version.startsWith(`${series}.`);
  const [major, minor] = version.split(".").map(Number);
  return major > 3 || (major === 3 && minor >= 4);
}

async function fetchPackage(series) {
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, ".fetch-"));
  try {
    const config = join(work, "apt.conf");
    await mkdir(join(work, "lists", "partial"), { recursive: true });
    await mkdir(join(work, "cache", "archives", "partial"), { recursive: true });
    await writeFile(
      config,
      [...settings(work), ...(await sourcesFor(series, work))].map((line) => `${line};\n`).join(""),
    );
    const apt = (...args) => run("apt-get", ["-c", config, "-q", ...args], { cwd: work, env: { ...env, LC_ALL: "C" } });
    // A source that fails (a third party's, say) is no reason to stop: only the package counts.
    const warnings = await apt("update").then(
      ({ stderr }) => stderr,
      (error) => (isMissing(error) ? Promise.reject(error) : error.stderr),
    );
    await apt("download", "etcd-server").catch((error) => {
      throw new Error(`${explain(error)}\n${warnings}`.trim());
    });
    const [deb] = (await readdir(work)).filter((name) => name.endsWith(".deb"));
    await run("dpkg", ["-x", deb, "unpacked"], { cwd: work });
    await mkdir(join(work, "new"));
    await copyFile(join(work, "unpacked", "usr", "bin", "etcd"), join(work, "new", "etcd"));
    await chmod(join(work, "new", "etcd"), 0o755);
    const found = await inspect(join(work, "new", "etcd"));
    if (found === undefined) throw new Error(`${deb} does not run on this system`);
    // A folder appears in the cache whole or not at all; where another caller was first, its copy is as good.
    await rename(join(work, "new"), join(cache, found.version)).catch((error) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
    return { ...found, bin: join(cache, found.version, "etcd") };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** All that apt would write, and the hooks that it would run, kept off the system. */
function settings(work) {
  return [
    `Dir::State::Lists "${work}/lists"`,
    `Dir::Cache "${work}/cache"`,
    'Dir::Cache::Archives "archives"',
    'Acquire::Languages "none"',
    'Acquire::Retries "1"',
    'Acquire::http::Timeout "20"',
    'Acquire::https::Timeout "20"',
    // Root's apt would drop to a user who may not enter this folder.
    'APT::Sandbox::User "root"',
    "#clear APT::Update::Pre-Invoke",
    "#clear APT::Update::Post-Invoke",
    "#clear APT::Update::Post-Invoke-Success",
  ];
}

/** The machine's own sources; for a series that its release does not have, the same mirror with the suite replaced. */
async function sourcesFor(series, work) {
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  const field = (name) => new RegExp(`^${name}="?([^"\n]*)`, "m").exec(release)?.[1];
  const own = field("VERSION_CODENAME");
  const suite = suites[series];
  if (suite === undefined || suite === own || field("ID") !== "debian") return [];
  const main = (await readSources()).filter((source) => source.get("Suites")?.split(/\s+/).includes(own));
  if (main.length === 0) throw new Error(`no source of the suite ${own} in /etc/apt`);
  const file = join(work, "etcd.sources");
  const stanzas = main.map((source) =>
    [...source.set("Suites", suite)].map(([name, value]) => `${name}: ${value}\n`).join(""),
  );
  await writeFile(file, stanzas.join("\n"));
  return [
    `Dir::Etc::SourceList "${file}"`,
    'Dir::Etc::SourceParts "/dev/null"',
    'Dir::Etc::PreferencesParts "/dev/null"',
  ];
}

/**
 * Every source of binary packages in /etc/apt, whichever of the two formats it is in, as its deb822 fields.
 *
 * @returns {Promise<Map<string, string>[]>}
 */
async function readSources() {
  const etc = "/etc/apt";
  const parts = (await readdir(join(etc, "sources.list.d")).catch(() => [])).map((name) =>
    join("sources.list.d", name),
  );
  const sources = [];
  for (const name of ["sources.list", ...parts.toSorted()]) {
    const parse = name.endsWith(".sources") ? parseStanzas : name.endsWith(".list") ? parseLines : undefined;
    if (parse !== undefined) sources.push(...parse(await readFile(join(etc, name), "utf8").catch(() => "")));
  }
  const off = (source) => /^(no|false|off|0)$/i.test(source.get("Enabled") ?? "");
  return sources.filter((source) => source.get("Types")?.split(/\s+/).includes("deb") && !off(source));
}

/** deb822: `Name: value` lines, continued by indented ones; an empty line ends a source. */
function parseStanzas(text) {
  const stanzas = text.replace(/^#.*\n?/gm, "").split(/\n\s*\n/);
  return stanzas.map((stanza) => {
    const fields = stanza.matchAll(/^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)/gm);
    return new Map([...fields].map(([, name, value]) => [name.replace(/(^|-)[a-z]/g, (c) => c.toUpperCase()), value]));
  });
}

/** One line a source: `deb [option=value …] uri suite component …`. */
function parseLines(text) {
  return [...text.matchAll(/^\s*(deb)\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)([^#\n]*)/gm)].map(
    ([, type, options = "", uri, suite, components]) => {
      const fields = new Map([
        ["Types", type],
        ["URIs", uri],
        ["Suites", suite],
        ["Components", components.trim()],
      ]);
      for (const [, name, value] of options.matchAll(/([\w-]+)\+?=(\S*)/g)) {
        fields.set(name === "arch" ? "Architectures" : name, value.replaceAll(",", " "));
      }
      return fields;
    },
  );
}

function explain(error) {
  return isMissing(error) ? `${error.path} is not installed here` : (error.stderr || error.message).trim();
}

function isMissing(error) {
  return error.code === "ENOENT" && error.syscall?.startsWith("spawn");
}

function indent(text) {
  return text.replace(/^/gm, "  ");
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  try {
    console.log((await findEtcd({ series: argv[2], log: console.error })).bin);
  } catch (error) {
    console.error(error.message);
    exit(1);
  }
}
