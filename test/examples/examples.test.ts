/** The examples of one file, as a user runs them: `npm run example -- NAME` is scripts/example.mjs. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { etcdAvailable, type EtcdServer, startEtcd } from "../support/etcd.ts";
import { Example, until } from "./example.ts";

const folder = mkdtempSync(join(tmpdir(), "event-value-examples-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function start(...args: readonly string[]): Example {
  return new Example("example.mjs", ...args);
}

/** What the story of an example has printed, after each of its steps. */
function chapters(output: string): Record<string, string[]> {
  const [, ...parts] = output.split(/^> /m);
  return Object.fromEntries(
    parts.map((part) => {
      const [title = "", ...lines] = part.trim().split("\n");
      return [title, lines];
    }),
  );
}

beforeAll(async () => {
  await using example = start("no-such-example"); // it is refused before anything is built
  expect(await example.ended()).toBe(2);
  await using first = start("feature-flags", "--help"); // builds what is not built
  expect(await first.ended()).toBe(2);
  expect(first.errors).toMatch(/^Unknown option '--help'.*\n$/);
});

describe("in memory", { concurrent: true }, () => {
  /** Runs the story of an example to its end. */
  async function story(name: string): Promise<Record<string, string[]>> {
    await using example = start(name);
    expect([await example.ended(), example.errors]).toEqual([0, ""]);
    return chapters(example.output);
  }

  test("feature-flags: each user is told what changes for them, once", async () => {
    const told = await story("feature-flags");
    const sorted = Object.entries(told).map(([title, lines]) => [title, lines.sort()]);
    expect(sorted).toEqual([
      ["nothing is stored: everybody has the defaults", ["ann has search", "ben has search"]],
      ["new-checkout goes on for everybody", ["ann has new-checkout, search", "ben has new-checkout, search"]],
      ["ben is spared it", ["ben has search"]],
      ["new-checkout goes off: to ben that makes no difference", ["ann has search"]],
      ["on again, and search off, in one transaction: one change", ["ann has new-checkout", "ben has nothing"]],
      ["ben is like everybody again", ["ben has new-checkout"]],
    ]);
  });

  test("hosts-file: the file follows, and what is no address does not get in", async () => {
    const told = await story("hosts-file");
    expect(told["another one comes"]?.slice(1)).toEqual(["10.0.0.7        db", "10.0.0.8        web"]);
    expect(told["somebody writes what is no address: it does not get in"]).toEqual([]);
    const moved = told["the database moves, ten times at once: the newest counts"];
    expect(moved?.slice(-2)).toEqual(["10.0.1.10       db", "10.0.0.8        web"]);
    expect(moved?.filter((line) => line.endsWith("written")).length).toBeLessThan(10);
    expect(told["a host goes"]?.slice(-1)).toEqual(["10.0.1.10       db"]);
    const [file = ""] = told["a host goes"]?.[0]?.split(" ") ?? [];
    expect([file, existsSync(file)]).toEqual([expect.stringContaining("hosts"), false]);
  });

  test("config-reload: only a change of the server's own part restarts it, and what is invalid changes nothing", async () => {
    const told = await story("config-reload");
    expect(Object.values(told)).toEqual([
      [expect.stringMatching(/^started: .*, 5000 ms$/)],
      ["it says: good morning"],
      [expect.stringMatching(/^restarted: .*, 1000 ms$/), "it says: good morning"],
      [expect.stringMatching(/^ignored what config holds: server.port: /), "it says: good morning"],
      ["it says: good evening"],
    ]);
  });

  test("service-discovery: requests go to all that are there, and to none that is gone", async () => {
    const chaptersTold = Object.values(await story("service-discovery"));
    const [alone, three, four, dying, dead, left] = chaptersTold as [string[], ...string[][]];
    expect(alone).toEqual(["known: none"]);
    expect(three).toContain("known: servers/a, servers/b, servers/c");
    expect(four).toContain("d answers");
    expect(dying?.filter((line) => line.endsWith("on to the next")).length).toBeGreaterThan(0);
    /** What the requests came to that were begun since then: the first may have been under way, to who was there until then. */
    const since = (lines: string[] | undefined, known: string, gone: (line: string) => boolean): string[] => {
      const told = (lines ?? []).slice((lines ?? []).indexOf(`known: ${known}`) + 1);
      return gone(told[0] ?? "") ? told.slice(1) : told;
    };
    const all = "servers/a, servers/b, servers/c";
    expect(new Set(since(dead, all, (line) => line.endsWith("on to the next")))).toEqual(
      new Set(["a answers", "b answers", "c answers"]),
    );
    expect(new Set(since(left, "servers/b, servers/c", (line) => line === "a answers"))).toEqual(
      new Set(["b answers", "c answers"]),
    );
  });

  test("leader-job: one worker at a time makes reports, while it is switched on", async () => {
    await using example = start("leader-job");
    expect([await example.ended(), example.errors]).toEqual([0, ""]);
    const told = chapters(example.output);
    const reports = [...example.output.matchAll(/^(\w+) made report (\d+)$/gm)].map(([, by, number]) => ({
      by,
      number,
    }));
    expect(reports.map(({ number }) => Number(number))).toEqual(reports.map((_, i) => i + 1));
    const [leader] = /^\w+/.exec(told["three workers campaign, one of them leads"]?.[0] ?? "") ?? [];
    expect(told["the job is switched off"]).toEqual([`${leader} stops`]);
    expect(told["and on again"]?.[0]).toBe(`${leader} begins`);
    const deposed = told["the leader is deposed: its key is deleted. The next goes on where it was"];
    expect(deposed).toContain(`${leader} leads no more`);
    expect(new Set(reports.map(({ by }) => by)).size).toBe(2);
  });

  test.for(["feature-flags", "hosts-file", "config-reload", "service-discovery", "leader-job"])(
    "%s ends on an interrupt",
    async (name) => {
      await using example = start(name);
      await example.printed("\n> ", 10); // the second step
      example.signal("SIGINT");
      expect([await example.ended(), example.errors]).toEqual([0, ""]);
    },
  );

  test("a name that no example has is answered with those there are", async () => {
    await using example = start("../scripts/start");
    expect(await example.ended()).toBe(2);
    for (const name of ["config-reload", "feature-flags", "host-directory", "hosts-file", "leader-job"]) {
      expect(example.errors).toMatch(new RegExp(`^ {2}${name} +\\w.*\\.$`, "m"));
    }
    expect(example.errors).not.toContain("shared");
  });

  test("a store that is none is answered with one line", async () => {
    await using example = start("feature-flags", "--store", "ftp://127.0.0.1");
    expect(await example.ended()).toBe(2);
    expect(example.errors).toMatch(/^url must be .*\n$/);
  });
});

describe("through etcd", { concurrent: true, skip: !etcdAvailable }, () => {
  let etcd: EtcdServer;
  let keyspace: EtcdKeyspace;

  beforeAll(async () => {
    etcd = await startEtcd();
    keyspace = new EtcdKeyspace({ endpoints: [etcd.endpoint] });
  });

  afterAll(async () => {
    await keyspace?.close();
    await etcd?.[Symbol.asyncDispose]();
  });

  const startOn = (...args: readonly string[]): Example => start(...args, "--store", etcd.endpoint);
  const put = (key: string, value: string): Promise<unknown> => keyspace.value(key, text).set(value);

  /** Lets an example do something, and resolves when it has said so. */
  async function expectAfter(example: Example, line: string, cause: () => unknown): Promise<void> {
    const from = example.output.length;
    await cause();
    await example.printed(`${line}\n`, from);
  }

  test("feature-flags follows what others write", async () => {
    await using example = startOn("feature-flags");
    await example.printed("ann has search\n");
    await example.printed("ben has search\n");
    await expectAfter(example, "ann has dark-mode, search", () => put("flags/dark-mode", "true"));
    await expectAfter(example, "ann has nothing", () => put("users/ann/flags", '{"dark-mode":false,"search":false}'));
    await expectAfter(example, "ben has search", () => put("flags/dark-mode", '"no boolean"'));
    example.signal("SIGINT");
    expect([await example.ended(), example.errors]).toEqual([0, ""]);
  });

  test("hosts-file keeps a file, leaves it at the end, and leaves that of somebody else alone", async () => {
    const file = join(folder, "hosts");
    const contents = (): string => (existsSync(file) ? readFileSync(file, "utf8") : "");
    const fileIs = async (lines: string): Promise<void> =>
      until(
        () => contents() === `# Kept up to date by event-value.\n${lines}`,
        () => `not\n${lines}but\n${contents()}`,
      );
    await using example = startOn("hosts-file", file);
    await fileIs("");
    await put("hosts/evil\n10.0.0.1 bank.example", "10.0.0.1");
    await put("hosts/db", "10.0.0.7");
    await fileIs("10.0.0.7        db\n");
    example.signal("SIGINT");
    expect([await example.ended(), example.errors]).toEqual([0, ""]);
    await fileIs("10.0.0.7        db\n");

    writeFileSync(file, "127.0.0.1 localhost\n");
    await using refused = startOn("hosts-file", file);
    expect(await refused.ended()).toBe(1);
    expect(refused.errors).toBe(`Error: ${file} was not written by this program and is left alone: name another\n`);
    expect(contents()).toBe("127.0.0.1 localhost\n");
  });

  test("config-reload serves on while what is stored is invalid", async () => {
    await using example = startOn("config-reload");
    await example.printed("started: ");
    const ask = async (): Promise<string> => {
      const [url] = example.output.match(/http:\/\/127.0.0.1:\d+(?=, )/g)?.slice(-1) ?? [];
      return (await fetch(String(url))).text();
    };
    const from = example.output.length;
    await put("config", "{");
    await example.printed("ignored what config holds: ", from);
    expect(await ask()).toBe("hello");
    await put("config", '{"greeting":"hi","server":{"requestTimeoutMs":1}}');
    await example.printed("restarted: ");
    expect(await ask()).toBe("hi");
    const taken = new URL(etcd.endpoint).port;
    await put("config", JSON.stringify({ greeting: "good day", server: { port: Number(taken) } }));
    await example.printed("no server until the next change: listen EADDRINUSE");
    const again = example.output.length;
    await put("config", '{"greeting":"good day"}');
    await example.printed("restarted: ", again);
    expect(await ask()).toBe("good day");
    example.signal("SIGINT");
    expect([await example.ended(), example.errors]).toEqual([0, ""]);
  });

  test("service-discovery: no request goes to a server that died once its lease is gone", async () => {
    await using client = startOn("service-discovery", "client");
    await client.printed("known: none\n");
    await using a = startOn("service-discovery", "server", "a");
    await using b = startOn("service-discovery", "server", "b");
    await using c = startOn("service-discovery", "server", "c");
    await client.printed("known: servers/a, servers/b, servers/c\n");
    for (const name of ["a", "b", "c"]) await client.printed(`${name} answers\n`);

    const gone = "known: servers/a, servers/c\n";
    const killed = client.output.length;
    await expectAfter(client, gone.trim(), () => b.signal("SIGKILL"));
    expect(client.output.slice(killed)).toContain("does not answer: on to the next\n");
    const since = (line: string): string => client.output.slice(client.output.lastIndexOf(line) + line.length);
    await until(
      () => since(gone).split("\n").length > 20,
      () => client.output,
    );
    expect(new Set(since(gone).trim().split("\n"))).toEqual(new Set(["a answers", "c answers"]));

    // One that is stopped takes its leave, and does not wait for its lease.
    await expectAfter(client, "known: servers/c", () => a.signal("SIGTERM"));
    expect([await a.ended(), a.errors]).toEqual([0, ""]);
    // Without any server requests wait for one.
    await expectAfter(client, "known: none", () => c.signal("SIGTERM"));
    await using d = startOn("service-discovery", "server", "d");
    await client.printed("d answers\n");
    expect(d.errors + client.errors).toBe("");
  });

  test("leader-job: the next worker goes on when the leader is frozen or dies, and no report is made twice", async () => {
    await using ann = startOn("leader-job", "ann");
    await ann.printed("ann made report 1\n");
    await using ben = startOn("leader-job", "ben");
    await ben.printed("is live");
    await expectAfter(ann, "ann stops", () => put("report/enabled", "false"));
    await expectAfter(ann, "ann begins", () => put("report/enabled", "true"));

    await expectAfter(ben, "ben leads", () => ann.signal("SIGSTOP"));
    await ben.printed("ben made report ");
    await expectAfter(ann, "ann leads no more", () => ann.signal("SIGCONT"));
    await expectAfter(ann, "ann leads", () => ben.signal("SIGKILL"));
    await ann.printed("ann made report ", ann.output.lastIndexOf("ann leads"));

    ann.signal("SIGINT");
    expect([await ann.ended(), ann.errors]).toEqual([0, ""]);
    const numbers = [...(ann.output + ben.output).matchAll(/made report (\d+)$/gm)].map(([, number]) => Number(number));
    expect(new Set(numbers).size).toBe(numbers.length);
  });
});
