/**
 * The tests of the tests: each deliberate defect must turn the tests red that are there to catch it, and by what they
 * assert. That they are green without it, the rest of the run shows.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { etcdAvailable } from "../support/etcd.ts";
import { type Mutation, mutate, mutations } from "./mutations.mjs";

const byName = mutations.map((mutation) => [mutation.name, mutation] as const);
const root = fileURLToPath(new URL("../../", import.meta.url));
const sourceOf = (file: string): string => readFileSync(join(root, file), "utf8");

/** What vitest's JSON reporter tells, as far as it is of use. */
interface Report {
  readonly testResults: readonly {
    /** Why the file did not load. */
    readonly message: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

describe.skipIf(!etcdAvailable)("the tests", () => {
  const folder = mkdtempSync(join(tmpdir(), "event-value-mutations-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs the tests that are there to catch a mutation, with it made. */
  async function run({ name, caughtBy: { files, tests } }: Mutation): Promise<Report> {
    const file = join(folder, `${mutations.findIndex((known) => known.name === name)}.json`);
    const options = ["--reporter=json", `--outputFile=${file}`, "--testTimeout=20000"];
    const vitest = join(root, "node_modules/vitest/vitest.mjs");
    // Not of this run: what it tells vitest's own processes, and where its counts go.
    const inherited = Object.entries(process.env).filter(
      ([key]) => !/^(VITEST|EV_TEST_COUNTS|NODE_ENV|TEST$)/.test(key),
    );
    const child = spawn(process.execPath, [vitest, "run", ...files, "-t", tests, ...options], {
      cwd: root,
      env: { ...Object.fromEntries(inherited), EV_MUTATION: name },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (part: string) => (stderr += part));
    await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
    try {
      return JSON.parse(readFileSync(file, "utf8")) as Report;
    } catch (cause) {
      throw new Error(`vitest did not run: ${stderr}`, { cause });
    }
  }

  test.each(byName)("notice it where %s", { timeout: 60_000 }, async (_name, mutation) => {
    const { testResults } = await run(mutation);
    expect(testResults.map(({ message }) => message).join(""), "every file loads").toBe("");
    const ran = testResults
      .flatMap((result) => result.assertionResults)
      .filter(({ status }) => status === "passed" || status === "failed");
    const failed = ran.filter(({ status }) => status === "failed");
    expect(failed.length, `of ${ran.length} tests, how many turn red`).toBeGreaterThan(0);
    for (const { fullName, failureMessages } of failed) {
      expect(fullName).toMatch(new RegExp(mutation.caughtBy.tests));
      expect(failureMessages.join(""), "it asserts something, and does not just take too long").not.toMatch(
        /timed out in|STACK_TRACE_ERROR|SyntaxError|ReferenceError/,
      );
    }
  });
});

describe("a mutation", () => {
  test.each(byName)("has its place in the source, exactly once: %s", (name, { file, find }) => {
    const source = sourceOf(file);
    expect(source.split(find)).toHaveLength(2);
    const mutant = mutate(name, file, source);
    expect(mutant).not.toBe(source);
  });

  test("leaves all other files as they are", () => {
    const [{ name }] = mutations as [Mutation];
    expect(mutate(name, "src/index.ts", "as it is")).toBe("as it is");
  });

  test("that is not known, or has no place, is an error", () => {
    expect(() => mutate("of no such name", "src/index.ts", "")).toThrow('no mutation of the name "of no such name"');
    const [{ name, file, find }] = mutations as [Mutation];
    expect(() => mutate(name, file, "")).toThrow("not there exactly once");
    expect(() => mutate(name, file, find + find)).toThrow("not there exactly once");
  });

  test("has a name of its own", () => {
    expect(new Set(mutations.map(({ name }) => name)).size).toBe(mutations.length);
  });
});
