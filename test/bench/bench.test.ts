import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");

function bench(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, ["scripts/bench.mjs", ...args], { cwd: root, encoding: "utf8" });
}

describe("npm run bench", () => {
  it("answers a question with a table", () => {
    const { status, stdout } = bench("--quick", "--only", "memory/set");
    expect(stdout).toContain("memory/set (1 of 1): What does a set cost");
    expect(stdout).toMatch(/\| 10,000 idle watchers \| event-value +\| +[\d.]+ hops/);
    expect(stdout).toMatch(/\d of 3 targets reached, by a quick look/);
    expect(status).toBe(0);
  });

  it("lists the questions, and loads each of them for that", () => {
    const { status, stdout } = bench("--list");
    for (const folder of ["memory/", "etcd/", "growth/", "internals/"]) expect(stdout).toContain(`\n${folder}`);
    expect(status).toBe(0);
  });

  it("lists those that are asked for", () => {
    expect(bench("--list", "--only", "growth/keys").stdout).toMatch(/^growth\/keys +How does .*\?\n$/);
  });

  it("tells its options", () => {
    const { status, stdout } = bench("--help");
    expect(stdout).toContain("usage: npm run bench");
    expect(status).toBe(0);
  });

  it.each([
    [["--fast"], "--fast"],
    [["--etcd", "2"], "--etcd must be"],
    [["--write", "--quick"], "--write takes a full run"],
    [["--write", "--only", "memory"], "--write takes a full run"],
  ])("refuses %j, and tells its options", (args, said) => {
    const { status, stderr } = bench(...args);
    expect(stderr).toContain(said);
    expect(stderr).toContain("usage: npm run bench");
    expect(status).toBe(2);
  });

  it("fails where no question is meant", () => {
    const { status, stderr } = bench("--list", "--only", "nothing");
    expect(stderr).toContain('no question has "nothing" in its name');
    expect(status).toBe(1);
  });
});
