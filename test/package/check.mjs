/**
 * Checks the package as users get it: packs dist/, installs the tarball into a project of its own, and there imports,
 * requires, compiles, bundles and runs it. Needs a build. Prints a line for each thing that holds; ends with 1 and
 * says why at the first one that does not.
 */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env, execPath, versions } from "node:process";
import { promisify } from "node:util";
import { build } from "esbuild";
import { root } from "../../scripts/bootstrap.mjs";

const oldestTypeScript = "5.4.5";
const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
/** What users import, but for the manifest itself: `event-value`, `event-value/etcd`, … */
const specifiers = Object.entries(manifest.exports)
  .filter(([, target]) => typeof target === "object")
  .map(([subpath]) => manifest.name + subpath.slice(1));

const folder = await mkdtemp(join(tmpdir(), "event-value-package-"));
const consumer = join(folder, "consumer");
try {
  const tarball = await pack();
  await lint(tarball);
  await install(tarball);
  await load();
  await compile();
  await bundle();
  await measure();
  await runBin();
} catch (error) {
  console.error(error.expected ? error.message : error);
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function pack() {
  const out = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], root);
  // One result, in an array or, from npm 12 on, under the package's name.
  const [{ filename, files, size }] = Object.values(JSON.parse(out));
  const stray = files.filter(({ path }) => !/^(dist\/|(package\.json|README\.md|LICENSE|CHANGELOG\.md)$)/.test(path));
  expect(stray.length === 0, `the tarball holds ${stray.map(({ path }) => path).join(", ")}`);
  console.log(`packed: ${files.length} files, ${(size / 1000).toFixed(1)} kB`);
  return join(folder, filename);
}

async function lint(tarball) {
  await tool("publint", ["--strict", tarball]);
  await tool("@arethetypeswrong/cli", ["--profile", "esm-only", tarball], "attw");
  console.log("publint and attw have nothing to say");
}

async function install(tarball) {
  await cp(join(root, "test/package/consumer"), consumer, { recursive: true });
  const everything = specifiers.map((specifier, i) => `export * as s${i} from "${specifier}";\n`);
  await writeFile(join(consumer, "everything.ts"), everything.join(""));
  const dependencies = { [manifest.name]: `file:${tarball}`, typescript: oldestTypeScript };
  await writeFile(join(consumer, "package.json"), JSON.stringify({ private: true, type: "module", dependencies }));
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]);
}

/** Each in a process of its own, which has to end by itself: importing starts nothing. */
async function load() {
  const [major, minor] = versions.node.split(".").map(Number);
  const ways = [(specifier) => `await import("${specifier}")`];
  if (major > 20 || minor >= 19) ways.push((specifier) => `createRequire(import.meta.url)("${specifier}")`);
  for (const specifier of specifiers) {
    for (const way of ways) {
      const script = `
        import { createRequire } from "node:module";
        const names = Object.keys(${way(specifier)});
        if (names.length === 0) throw new Error("exports nothing");`;
      const output = await run(execPath, ["--no-warnings", "--input-type=module", "--eval", script]);
      expect(output === "", `importing ${specifier} prints ${output}`);
    }
  }
  console.log(
    `${specifiers.join(", ")} can be imported${ways.length > 1 ? " and required" : ""} on Node ${versions.node}`,
  );
}

async function compile() {
  const compilers = [
    [oldestTypeScript, join(consumer, "node_modules/typescript/bin/tsc")],
    [manifest.devDependencies.typescript, join(root, "node_modules/typescript/bin/tsc")],
  ];
  for (const lib of [["es2022"], ["es2022", "dom"]]) {
    const compilerOptions = {
      target: "es2022",
      module: "nodenext",
      lib,
      types: [],
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
    };
    await writeFile(
      join(consumer, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["usage.ts", "everything.ts"] }),
    );
    for (const [version, tsc] of compilers) {
      await run(execPath, [tsc, "-p", "tsconfig.json"]);
      console.log(`compiles with TypeScript ${version} and lib ${lib.join(", ")}`);
    }
  }
}

/** For a browser: esbuild then refuses Node's own modules. */
async function bundle() {
  const { metafile } = await build({
    stdin: { contents: `export * from "${manifest.name}"`, resolveDir: consumer },
    bundle: true,
    write: false,
    metafile: true,
    platform: "browser",
    format: "esm",
    logLevel: "silent",
  });
  const inputs = Object.keys(metafile.inputs).filter((path) => path !== "<stdin>");
  const foreign = inputs.filter((path) => !path.includes(`node_modules/${manifest.name}/`));
  expect(foreign.length === 0, `the core depends on ${foreign.join(", ")}`);
  console.log("the core bundles for browsers and depends on nothing");
}

async function measure() {
  // Its exit code says that something is too big; what it prints says what.
  const output = await tool("size-limit", ["--json"]).catch((error) => error.stdout ?? Promise.reject(error));
  const limits = JSON.parse(await readFile(join(root, ".size-limit.json"), "utf8"));
  const tooBig = [];
  for (const [i, { name, size, passed }] of JSON.parse(output).entries()) {
    const line = `${name}: ${(size / 1000).toFixed(2)} kB of ${limits[i].limit} (brotli)`;
    console.log(line);
    if (!passed) tooBig.push(line);
  }
  expect(tooBig.length === 0, `too big: ${tooBig.join("; ")}`);
}

async function runBin() {
  for (const name of Object.keys(manifest.bin)) {
    const help = await run(join(consumer, "node_modules/.bin", name), ["--help"]);
    expect(help.includes(name), `${name} --help prints ${help}`);
    console.log(`${name} --help runs`);
  }
}

/** Runs the command of a development dependency in the repository's root. */
async function tool(name, args, command = name) {
  const folder = join(root, "node_modules", name);
  const { bin } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  return run(execPath, [join(folder, typeof bin === "string" ? bin : bin[command]), ...args], root);
}

/** Resolves with what the command wrote to stdout; where it fails, rejects with all that it wrote. */
async function run(command, args, cwd = consumer) {
  try {
    return (await promisify(execFile)(command, args, { cwd, env: { ...env, NO_COLOR: "1" } })).stdout;
  } catch (error) {
    const { stdout, stderr } = error;
    const message = `${[command, ...args].join(" ")}\n${stdout ?? ""}${stderr ?? error.message}`;
    throw Object.assign(new Error(message), { expected: true, stdout });
  }
}

function expect(holds, message) {
  if (!holds) throw Object.assign(new Error(message), { expected: true });
}
