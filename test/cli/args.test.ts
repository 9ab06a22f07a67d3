import { describe, expect, test } from "vitest";
import { formatDuration, type Invocation, parseCommandLine, parseDuration } from "../../src/cli/args.ts";
import { UsageError } from "../../src/cli/exit.ts";

const env = { EVENT_VALUE_STORE: "http://h1:2379,h2" };

function parse(line: string, more: Record<string, string> = {}): Invocation {
  return parseCommandLine(line === "" ? [] : line.split(" "), { ...env, ...more });
}

/** The line on stderr that `args` get, less its end. */
function refusal(args: readonly string[], environment: Record<string, string> = env): string {
  try {
    parseCommandLine(args, environment);
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    const { exitCode, message } = error as UsageError;
    expect(exitCode).toBe(2);
    expect(message.endsWith(" (see event-value --help)")).toBe(true);
    expect(message).not.toContain("\n");
    return message.slice(0, -" (see event-value --help)".length);
  }
  throw new Error(`accepted: ${args.join(" ")}`);
}

describe("the command line", () => {
  test("reads each command with its options", () => {
    const store = {
      endpoints: ["http://h1:2379", "http://h2:2379"],
      namespace: "",
      user: undefined,
      cacert: undefined,
      cert: undefined,
      key: undefined,
      serverName: undefined,
    };
    expect(parse("get k")).toEqual({
      command: "get",
      store,
      key: "k",
      json: false,
      prefix: false,
      base64: false,
      timeoutMs: 5000,
    });
    expect(parse("--json get --prefix k --timeout 2m --base64")).toMatchObject({
      json: true,
      prefix: true,
      base64: true,
      timeoutMs: 120_000,
    });
    expect(parse("set k v")).toMatchObject({ command: "set", value: { from: "argument", text: "v" } });
    expect(parse("set k -")).toMatchObject({ value: { from: "stdin" } });
    expect(parse("set k --file f")).toMatchObject({ value: { from: "file", path: "f" } });
    expect(parse("set k -- -5")).toMatchObject({ key: "k", value: { from: "argument", text: "-5" } });
    expect(parse("set k ")).toMatchObject({ value: { from: "argument", text: "" } });
    expect(parse("delete k --timeout 0")).toEqual({ command: "delete", store, key: "k", json: false, timeoutMs: 0 });
    expect(parse("watch k")).toEqual({ command: "watch", store, key: "k", json: false, prefix: false, base64: false });
  });

  test("takes what is behind -- for the command to run", () => {
    const store = { endpoints: ["http://h1:2379", "http://h2:2379"], namespace: "n/" };
    expect(parse("run --when k --namespace n/ -- sh -c --when --help --")).toMatchObject({
      command: "run",
      store,
      key: "k",
      equals: undefined,
      graceMs: 10_000,
      commandLine: ["sh", "-c", "--when", "--help", "--"],
    });
    expect(parse("run --when k --equals= --grace 0 -- x")).toMatchObject({
      equals: "",
      graceMs: 0,
      commandLine: ["x"],
    });
    expect(parse("run --when k --equals=-5 -- x")).toMatchObject({ equals: "-5" });
    expect(parse("lease --ttl 1.5 --put a=1 --put b=x=y --put c= --namespace n/ -- x -h")).toMatchObject({
      command: "lease",
      store,
      ttlMs: 1500,
      puts: [
        { key: "a", value: "1" },
        { key: "b", value: "x=y" },
        { key: "c", value: "" },
      ],
      graceMs: 10_000,
      timeoutMs: 5000,
      commandLine: ["x", "-h"],
    });
    expect(parse("lease --ttl 2m --timeout 0 --")).toMatchObject({ timeoutMs: 0, puts: [], commandLine: undefined });
    expect(parse("run -h -- x")).toEqual({ command: "help", topic: "run" });
  });

  test("takes a key that ends in a slash for a range when watching, and an empty key with --prefix only", () => {
    expect(parse("watch services/")).toMatchObject({ key: "services/", prefix: true });
    expect(parse("watch --prefix serv")).toMatchObject({ key: "serv", prefix: true });
    expect(parse("watch --prefix ")).toMatchObject({ key: "", prefix: true });
    expect(parse("get services/")).toMatchObject({ key: "services/", prefix: false });
    expect(refusal(["watch", ""])).toBe("watch: <key> must not be empty");
  });

  test("prefers --store to EVENT_VALUE_STORE and takes it several times", () => {
    expect(parse("get k --store http://a:1 --store b,c:2")).toMatchObject({
      store: { endpoints: ["http://a:1", "http://b:2379", "http://c:2"] },
    });
    expect(parse("get k --store [::1]:1")).toMatchObject({ store: { endpoints: ["http://[::1]:1"] } });
  });

  test("speaks TLS where it is told about certificates, or by https", () => {
    const { store } = parse("get k --store h:1 --cacert ca --cert c --key k --server-name n") as { store: unknown };
    expect(store).toMatchObject({ endpoints: ["https://h:1"], cacert: "ca", cert: "c", key: "k", serverName: "n" });
    expect(parse("get k --store https://h")).toMatchObject({ store: { endpoints: ["https://h:2379"] } });
  });

  test("gives help to whoever asks, whatever else is wrong", () => {
    expect(parse("--help")).toEqual({ command: "help", topic: undefined });
    expect(parse("-h")).toEqual({ command: "help", topic: undefined });
    expect(parse("help")).toEqual({ command: "help", topic: undefined });
    expect(parse("help set")).toEqual({ command: "help", topic: "set" });
    expect(parse("set --help")).toEqual({ command: "help", topic: "set" });
    expect(parse("--nonsense set k -h")).toEqual({ command: "help", topic: "set" });
    expect(parse("set k -- --help")).toMatchObject({ value: { text: "--help" } });
    expect(parse("--version")).toEqual({ command: "version" });
  });

  test.each([
    ["", "missing command: one of watch, get, set, delete, run, lease"],
    ["put k v", 'unknown command "put": there are watch, get, set, delete, run, lease'],
    ["get", "get: missing <key>"],
    ["get a b", 'get: unexpected argument "b"'],
    ["set a", "set: missing <value>; - reads it from stdin, --file from a file"],
    ["set a b c", 'set: unexpected argument "c"'],
    ["set a b --file f", "set: give <value> or --file, not both"],
    ["get a --nonsense", "unknown option --nonsense; an argument that begins with a dash goes after --"],
    ["set a -5", "unknown option -5; an argument that begins with a dash goes after --"],
    ["get a --store", "--store needs a value"],
    ["get a --store --json", "--store needs a value"],
    ["get a --help=yes", "--help does not take a value"],
    ["get a --json=yes", "--json does not take a value"],
    ["watch a --timeout 5s", "--timeout does not apply to watch"],
    ["delete a --prefix", "--prefix does not apply to delete"],
    ["delete a --base64", "--base64 does not apply to delete"],
    ["get a --file f", "--file does not apply to get"],
    ["get a --cert c", "--cert needs --key as well"],
    ["get a --key k", "--key needs --cert as well"],
    ["get a --cacert c", '--cacert needs https, EVENT_VALUE_STORE has "http://h1:2379"'],
    ["get a --store http://a,https://b", '--store mixes http and https: "http://a,https://b"'],
    ["get a --store http://u:p@h", "--store must not hold a user name or password: use --user"],
    ["get a\ufffd", "get: <key> is not UTF-8 text"],
    ["set a b\ufffd", "set: <value> is not UTF-8 text: use - or --file"],
    ["get a --namespace \ufffd", "--namespace is not UTF-8 text"],
    ["get a --user ", "--user must not be empty"],
    ["run -- x", "run: missing --when KEY"],
    ["run --when  -- x", "run: the key of --when must not be empty"],
    ["run --when k", "run: missing the command to run, which goes after --"],
    ["run --when k --", "run: missing the command to run, which goes after --"],
    ["run k --when k -- x", 'run: unexpected argument "k"; the command to run goes after --'],
    ["run --when k --equals -5 -- x", "--equals needs a value"],
    ["run --when k\ufffd -- x", "run: --when is not UTF-8 text"],
    ["run --when k --equals \ufffd -- x", "run: --equals is not UTF-8 text"],
    ["run --when k -- x \ufffd", "run: the command to run is not UTF-8 text"],
    ["run --when k --grace x -- x", '--grace must be a time such as 500ms, 5s or 2m, not "x"'],
    ["run --when k --timeout 5s -- x", "--timeout does not apply to run"],
    ["run --when k --json -- x", "--json does not apply to run"],
    ["get k --when k", "--when does not apply to get"],
    ["lease", "lease: missing --ttl TIME"],
    ["lease --ttl 0", "--ttl must be longer than 0"],
    ["lease --ttl 1s --put k", '--put must be KEY=VALUE, not "k"'],
    ["lease --ttl 1s --put =v", '--put must be KEY=VALUE, not "=v"'],
    ["lease --ttl 1s --put k=\ufffd", "--put is not UTF-8 text"],
    ["lease --ttl 1s --put k=1 --put k=2", '--put has the key "k" twice'],
    ["lease --ttl 1s --grace 5s", "--grace needs a command to run, after --"],
    ["lease --ttl 1s sleep 5", 'lease: unexpected argument "sleep"; the command to run goes after --'],
  ])("refuses %j", (line, message) => {
    expect(refusal(line === "" ? [] : line.split(" "))).toBe(message);
  });

  test.each([
    ["http://h:0", "has a port out of range"],
    ["http://h:x", "has no valid port"],
    ["http://h/path", "must not have a path, query or fragment"],
    ["ftp://h", "has an unknown scheme"],
    ["http://a,,http://b", "has no host"],
    ["", "has no host"],
  ])("refuses the store %j and names where it comes from", (store, why) => {
    expect(refusal(["get", "a", "--store", store])).toContain(`--store ${why}: `);
    if (store !== "")
      expect(refusal(["get", "a"], { EVENT_VALUE_STORE: store })).toContain(`EVENT_VALUE_STORE ${why}: `);
  });

  test("says what to set where no store is given", () => {
    for (const environment of [{}, { EVENT_VALUE_STORE: "" }]) {
      const message = refusal(["get", "a"], environment);
      expect(message).toBe("no store: set --store or EVENT_VALUE_STORE to its address, such as http://127.0.0.1:2379");
    }
  });

  test("never repeats what may be a password", () => {
    expect(refusal(["get", "a", "--user", "root:secret"])).not.toContain("secret");
    expect(refusal(["get", "a", "--password=secret"])).not.toContain("secret");
    expect(refusal(["get", "a", "--store", "http://root:secret@h"])).not.toContain("secret");
  });
});

describe("a duration", () => {
  test.each([
    ["5s", 5000],
    ["5", 5000],
    ["0", 0],
    ["500ms", 500],
    ["1.5m", 90_000],
    [".5", 500],
    ["0.1ms", 1],
  ])("reads %j as %d ms", (text, ms) => {
    expect(parseDuration(text, "--timeout")).toBe(ms);
  });

  test.each(["", "s", "5h", "-1", "1e3", "5 s", "Infinity", "0x10", "1.", "١"])("refuses %j", (text) => {
    expect(() => parseDuration(text, "--timeout")).toThrow(/^--timeout must be a time such as 500ms, 5s or 2m, not /);
  });

  test("refuses what no timer can wait for", () => {
    expect(() => parseDuration("36000m", "--timeout")).toThrow("--timeout must be at most 35791m");
  });

  test("is written as it is read", () => {
    for (const text of ["500ms", "5s", "1.5s", "120s"]) expect(formatDuration(parseDuration(text, "t"))).toBe(text);
  });
});
