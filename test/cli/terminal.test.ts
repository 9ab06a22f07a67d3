/** The command line on a terminal: a pseudo-terminal that `script` of util-linux makes, and a model of its screen. */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EtcdServer, etcdAvailable, startEtcd } from "../support/etcd.ts";
import { startProxy } from "../support/proxy.ts";
import { Built, type Running } from "./built.ts";
import { Store } from "./store.ts";
import { TerminalModel } from "./terminal-model.ts";

/** Other systems have another `script`, or none: what needs it is skipped there, and counted. */
const terminalAvailable = /util-linux/.test(String(spawnSync("script", ["--version"]).stdout));

let built: Built;
let etcd: EtcdServer;
let store: Store;
const usable = etcdAvailable && terminalAvailable;
beforeAll(async () => {
  if (!usable) return;
  built = new Built();
  etcd = await startEtcd({ args: ["--bcrypt-cost=4"] });
  store = new Store(etcd);
  built.env = { EVENT_VALUE_STORE: etcd.endpoint, SHELL: "/bin/sh", TERM: "xterm-256color" };
});
afterAll(async () => {
  if (!usable) return;
  built[Symbol.dispose]();
  await etcd[Symbol.asyncDispose]();
});

let count = 0;

/** A terminal of its own, with `event-value` on it. */
class Terminal {
  readonly model: TerminalModel;
  readonly running: Running;
  readonly #name = `tty-${++count}`;
  #read = 0;

  constructor(
    args: readonly string[],
    options: { columns?: number; rows?: number; env?: Record<string, string>; jobs?: boolean } = {},
  ) {
    const { columns = 80, rows = 12, env = {}, jobs = false } = options;
    this.model = new TerminalModel(columns, rows);
    const state = `echo "code $?, $(stty -a | grep -ow -e '-\\{0,1\\}echo') $(stty -a | grep -ow -e '-\\{0,1\\}isig')"`;
    const command = [process.execPath, built.main, ...args];
    const script = [
      // Ctrl-C is for the program; the shell goes on.
      "trap : INT",
      `stty cols ${columns} rows ${rows}`,
      `tty > ${this.#name}`,
      ...(jobs ? ["set -m"] : []),
      // A shell that becomes the program, with the same process id.
      `sh -c 'echo $$ > ${this.#name}.pid; exec "$@"' sh ${command.map((arg) => `'${arg}'`).join(" ")}`,
      state,
      // Stopped, it is continued.
      ...(jobs ? ["fg >/dev/null", state] : []),
    ].join("; ");
    this.running = built.startCommand("script", ["-qec", script, "/dev/null"], { env });
  }

  /** Resolves when the screen shows `text`, or what a condition asks for. */
  async shows(text: string | RegExp | (() => boolean)): Promise<void> {
    const holds = typeof text === "function" ? text : (): boolean => new RegExp(text, "m").test(this.model.text);
    try {
      await this.running.until(() => {
        this.#draw();
        return holds();
      });
    } catch (error) {
      throw new Error(`the terminal ended with:\n${this.model.text}`, { cause: error });
    }
  }

  resize(columns: number, rows: number): void {
    this.#draw();
    this.model.resize(columns, rows);
    const tty = readFileSync(join(built.folder, this.#name), "utf8").trim();
    execFileSync("stty", ["-F", tty, "cols", String(columns), "rows", String(rows)]);
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(Number(readFileSync(join(built.folder, `${this.#name}.pid`), "utf8")), signal);
  }

  /** Resolves when the program has ended, with the last line of the screen: the exit code and the state of the terminal. */
  async end(): Promise<string | undefined> {
    await this.running.ended;
    this.#draw();
    return this.model.lines.at(-1);
  }

  #draw(): void {
    const { stdout } = this.running;
    this.model.write(stdout.slice(this.#read));
    this.#read = stdout.length;
  }
}

describe.skipIf(!usable).concurrent("watching on a terminal", () => {
  test("shows a table and keeps it up to date in place", async () => {
    await store.put("table/a", "one");
    await store.put("table/b", "値は日本語");
    const terminal = new Terminal(["watch", "table/"]);
    await terminal.shows("^table/b");
    await store.put("table/a", "a new value");
    await terminal.shows("a new value +\\d+ +0s$");
    await store.delete("table/b");
    await terminal.shows("^table/b +\\(deleted\\)");
    expect(terminal.model.lines).toEqual([
      expect.stringMatching(/^● live {2}table\/\* {2}1 key {2}revision \d+ {2}at http:/),
      expect.stringMatching(/^KEY {6}VALUE {8}REVISION {3}AGE$/),
      expect.stringMatching(/^table\/a {2}a new value +\d+ +\ds$/),
      expect.stringMatching(/^table\/b {2}\(deleted\) +\d+ +0s$/),
    ]);
    expect(terminal.model.styled).toBe(true);
    // The age goes on where nothing happens.
    await terminal.shows("a new value +\\d+ +2s$");
    terminal.running.type("\x03");
    expect(await terminal.end()).toBe("code 130, echo isig");
    expect(terminal.model.cursorVisible).toBe(true);
    expect(terminal.model.lines[2]).toContain("a new value");
  });

  test("shows an absent key, and has no colours where NO_COLOR is set", async () => {
    const terminal = new Terminal(["watch", "absent/k"], { env: { NO_COLOR: "1" } });
    await terminal.shows("^absent/k +\\(absent\\) +- +>0s$");
    await store.put("absent/k", "here");
    await terminal.shows("^absent/k +here");
    expect(terminal.model.styled).toBe(false);
    terminal.running.type("\x03");
    await terminal.end();
  });

  test("obeys nothing that is in a key or a value, and echoes nothing that is typed", async () => {
    await store.put("evil/\x1b[2J", "\x1b]0;title\x07\x9b31m\r\nnext\u202e");
    const terminal = new Terminal(["watch", "evil/"]);
    await terminal.shows("^evil/\\\\x1b\\[2J {2}\\\\x1b\\]0;title\\\\x07\\\\x9b31m\\\\r\\\\nnext\\\\u202e");
    terminal.running.type("typed\r\x1b[A");
    await store.put("evil/z", "later");
    await terminal.shows("^evil/z +later");
    expect(terminal.model.text).not.toContain("typed");
    expect(terminal.model.lines).toHaveLength(4);
    // By a signal it ends the same way.
    terminal.signal("SIGTERM");
    expect(await terminal.end()).toBe("code 143, echo isig");
    expect(terminal.model.cursorVisible).toBe(true);
  });

  test("follows the size of the terminal and says what does not fit", async () => {
    for (let i = 0; i < 10; i++) await store.put(`size/${i}`, "a value that is rather long, much too long to be shown");
    const terminal = new Terminal(["watch", "size/"], { columns: 100, rows: 14 });
    await terminal.shows("^size/9 +a value that is rather long, much too long to be shown +\\d+ ");
    terminal.resize(60, 14);
    await terminal.shows("^size/9 +a value that is rather long.*… +\\d+ +>\\d+s$");
    terminal.resize(60, 8);
    await terminal.shows("^… 6 more$");
    expect(terminal.model.lines).toHaveLength(7);
    await store.put("size/0", "short");
    await terminal.shows("^size/0 +short +");
    terminal.resize(100, 14);
    await terminal.shows("^size/9 ");
    expect(terminal.model.lines.filter((line) => line.startsWith("KEY"))).toHaveLength(1);
    terminal.running.type("\x03");
    expect(await terminal.end()).toBe("code 130, echo isig");
  });

  test("says that it is connecting, live, stale, and live again", async () => {
    await store.put("status/k", "v");
    await using proxy = await startProxy(etcd.port);
    await proxy.cut();
    const terminal = new Terminal(["watch", "status/", "--store", proxy.endpoint]);
    await terminal.shows(`^○ connecting for \\ds  ${proxy.endpoint}: connection refused$`);
    expect(terminal.model.lines).toHaveLength(1);
    await proxy.heal();
    await terminal.shows("^● live");
    await terminal.shows("^status/k +v");
    await proxy.cut();
    await terminal.shows(`^▲ stale for \\ds  ${proxy.endpoint}: connection refused$`);
    expect(terminal.model.text).toContain("status/k  v");
    await store.put("status/k", "missed");
    await proxy.heal();
    await terminal.shows("^status/k +missed");
    await terminal.shows("^● live");
    terminal.running.type("\x03");
    expect(await terminal.end()).toBe("code 130, echo isig");
  });

  test("gives the terminal back while it is stopped by Ctrl-Z, and goes on below", async () => {
    await store.put("stop/k", "before");
    const terminal = new Terminal(["watch", "stop/"], { jobs: true, rows: 20 });
    await terminal.shows("^stop/k +before");
    terminal.running.type("\x1a");
    await terminal.shows("^code 1\\d\\d, echo isig$");
    await terminal.shows(/^code[^]*^KEY[^]*^stop\/k +before/m);
    await store.put("stop/k", "after");
    await terminal.shows(/^code[^]*^KEY[^]*^stop\/k +after/m);
    expect(terminal.model.lines.filter((line) => line.startsWith("KEY"))).toHaveLength(2);
    terminal.running.type("\x03");
    expect(await terminal.end()).toBe("code 130, echo isig");
  });

  test("prints lines with --json, and on a terminal that cannot move its cursor", async () => {
    await store.put("lines/k", "v");
    const json = new Terminal(["watch", "lines/", "--json"]);
    const dumb = new Terminal(["watch", "lines/"], { env: { TERM: "dumb" } });
    for (const terminal of [json, dumb]) {
      await terminal.shows('^{"type":"put","key":"lines/k"');
      terminal.running.type("\x03");
      await terminal.running.ended;
    }
  });
});

describe.skipIf(!usable)("on a terminal", () => {
  test("get shows control characters as escapes, but for newline and tab", async () => {
    await store.put("get/k", "a\tb\nc\x1b[31m");
    const terminal = new Terminal(["get", "get/k"]);
    expect(await terminal.running.ended).toMatchObject({ stdout: "a\tb\r\nc\\x1b[31m\r\ncode 0, echo isig\r\n" });
  });

  test("the command of run reads from it and writes to it, and Ctrl-C ends both", async () => {
    await store.put("run/k", "v");
    const terminal = new Terminal(["run", "--when", "run/k", "--", "sh", "-c", "read a; echo got $a; exec sleep 1000"]);
    await terminal.shows("^event-value: live$");
    terminal.running.type("typed\r");
    await terminal.shows("^got typed$");
    terminal.running.type("\x03");
    // On a busy system the end of the command may be told before the program's own signal: then it says so first.
    expect(await terminal.end()).toMatch(/^(\^C)?code 130, echo isig$/);
  });

  test("Ctrl-C ends lease, whose keys are gone when the prompt is back", async () => {
    for (const command of [[], ["--", "sleep", "1000"]]) {
      const terminal = new Terminal(["lease", "--ttl", "60s", "--put", "lease/k=v", ...command]);
      await terminal.shows("^(event-value: holding lease )?\\d+$");
      expect(await store.get("lease/k")).toEqual(Buffer.from("v"));
      terminal.running.type("\x03");
      expect(await terminal.end()).toBe("^Ccode 130, echo isig");
      expect(await store.get("lease/k")).toBeUndefined();
    }
  });

  describe("where etcd has users", () => {
    beforeAll(async () => {
      await store.put("user/k", "the value");
      await store.enableAuth({ user: "READWRITE" });
    });

    test("the password is asked for and not shown", async () => {
      const terminal = new Terminal(["get", "user/k", "--user", "user"]);
      await terminal.shows("^Password for user:$");
      terminal.running.type("wrong\x15usXX\x7f\x7fer's\r");
      expect(await terminal.end()).toBe("code 0, echo isig");
      expect(terminal.model.lines).toEqual(["Password for user:", "the value", "code 0, echo isig"]);
    });

    test("a wrong password ends the program with one line", async () => {
      const terminal = new Terminal(["watch", "user/", "--user", "user"], { columns: 120 });
      await terminal.shows("^Password for user:$");
      terminal.running.type("wrong\r");
      expect(await terminal.end()).toBe("code 1, echo isig");
      const line = `event-value: the store refused: ${etcd.endpoint}: authentication failed, invalid user ID or password`;
      expect(terminal.model.lines.at(-2)).toBe(line);
      expect(terminal.model.cursorVisible).toBe(true);
    });

    test("Ctrl-C and Ctrl-D end the question", async () => {
      const interrupted = new Terminal(["get", "user/k", "--user", "user"]);
      await interrupted.shows("^Password for user:$");
      interrupted.running.type("secret\x03");
      expect(await interrupted.end()).toBe("code 130, echo isig");
      expect(interrupted.model.lines).toHaveLength(2);
      const ended = new Terminal(["get", "user/k", "--user", "user"], { columns: 120 });
      await ended.shows("^Password for user:$");
      ended.running.type("\x04");
      expect(await ended.end()).toBe("code 2, echo isig");
      expect(ended.model.text).toContain("event-value: --user needs a password, and none was entered");
    });

    test("the environment answers in its place", async () => {
      const terminal = new Terminal(["get", "user/k", "--user", "user"], { env: { EVENT_VALUE_PASSWORD: "user's" } });
      expect(await terminal.end()).toBe("code 0, echo isig");
      expect(terminal.model.lines).toEqual(["the value", "code 0, echo isig"]);
    });
  });
});
