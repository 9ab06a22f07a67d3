/** get, set and delete, run as users run them. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer as createWebServer } from "node:http";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { put, range } from "../../src/etcd/proto/methods.ts";
import { makeAuthority, makeCertificate } from "../support/certificates.ts";
import { type EtcdServer, etcdAvailable, startEtcd } from "../support/etcd.ts";
import { RangeResponse } from "../support/generated/etcd.ts";
import { startGrpcServer } from "../support/grpc-server.ts";
import { freePorts } from "../support/ports.ts";
import { Built, type Ended } from "./built.ts";
import { Store, useStore } from "./store.ts";

let built: Built;
beforeAll(() => {
  built = new Built();
});
afterAll(() => built[Symbol.dispose]());

/** What a run that failed has to look like: one line on stderr, nothing on stdout. */
function failed(code: number, message: string | RegExp): object {
  const line = typeof message === "string" ? `event-value: ${message}\n` : (expect.stringMatching(message) as string);
  return { code, signal: null, stdout: "", stderr: line };
}

function printed(stdout: string): Ended {
  return { code: 0, signal: null, stdout, stderr: "" };
}

/** A file in the folder where the processes run. */
function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(built.folder, name), content);
  return name;
}

describe.skipIf(!etcdAvailable).concurrent("values in etcd", () => {
  let store: Store;
  useStore(
    () => built,
    (begun) => (store = begun),
  );

  test("are set, got and deleted", async () => {
    const set = await built.run(["set", "basic/k", "the value"]);
    expect(set).toEqual(printed(expect.stringMatching(/^\d+\n$/) as string));
    expect(await store.get("basic/k")).toEqual(Buffer.from("the value"));
    expect(await built.run(["get", "basic/k"])).toEqual(printed("the value\n"));
    const deleted = await built.run(["delete", "basic/k"]);
    expect(deleted).toEqual(printed(expect.stringMatching(/^\d+\n$/) as string));
    expect(Number(deleted.stdout)).toBeGreaterThan(Number(set.stdout));
    expect(await store.get("basic/k")).toBeUndefined();
    expect(await built.run(["get", "basic/k"])).toEqual(failed(3, '"basic/k" is absent'));
    expect(await built.run(["delete", "basic/k"])).toEqual(failed(3, '"basic/k" is absent'));
  });

  test("are JSON objects with --json", async () => {
    const created = await store.put("json/k", "one");
    const set = await built.run(["set", "--json", "json/k", 'tw"o\x9b']);
    const revision = created + 1 <= JSON.parse(set.stdout).revision ? (JSON.parse(set.stdout).revision as number) : -1;
    expect(JSON.parse(set.stdout)).toEqual({ key: "json/k", revision });
    const got = await built.run(["get", "json/k", "--json"]);
    expect(got).toEqual(
      printed(`{"key":"json/k","value":"tw\\"o\\u009b","revision":${revision},"createRevision":${created}}\n`),
    );
    const deleted = await built.run(["delete", "--json", "json/k"]);
    expect(JSON.parse(deleted.stdout)).toEqual({ key: "json/k", revision: expect.any(Number) as number });
  });

  test("come from an argument, from stdin or from a file, byte by byte", async () => {
    const everyByte = Uint8Array.from({ length: 256 }, (_, i) => i);
    await built.run(["set", "bytes/stdin", "-"], { input: everyByte });
    await built.run(["set", "bytes/file", "--file", file("every-byte", everyByte)]);
    await built.run(["set", "bytes/base64", "--base64", Buffer.from(everyByte).toString("base64")]);
    for (const key of ["bytes/stdin", "bytes/file", "bytes/base64"])
      expect(await store.get(key)).toEqual(Buffer.from(everyByte));
    await built.run(["set", "bytes/newline", "-"], { input: "a line\n" });
    expect(await store.get("bytes/newline")).toEqual(Buffer.from("a line\n"));
    await built.run(["set", "bytes/dash", "--", "-5"]);
    expect(await store.get("bytes/dash")).toEqual(Buffer.from("-5"));
    await built.run(["set", "bytes/empty", ""]);
    expect(await store.get("bytes/empty")).toEqual(Buffer.alloc(0));
    expect(await built.run(["get", "bytes/empty"])).toEqual(printed("\n"));
  });

  test("that are not UTF-8 need --base64 or --json", async () => {
    await store.put("binary/k", new Uint8Array([0xff, 0x00]));
    expect(await built.run(["get", "binary/k"])).toEqual(
      failed(1, 'the value of "binary/k" is not UTF-8 text: use --base64'),
    );
    expect(await built.run(["get", "--base64", "binary/k"])).toEqual(printed("/wA=\n"));
    expect((await built.run(["get", "--json", "binary/k"])).stdout).toContain('"valueBase64":"/wA="');
    await store.put("binary/text", "text");
    expect((await built.run(["get", "--json", "--base64", "binary/text"])).stdout).toContain(
      '"valueBase64":"dGV4dA=="',
    );
  });

  test("are printed as they are where no terminal reads them", async () => {
    await store.put("raw/k", "\x1b[31mred\r\n\0");
    expect(await built.run(["get", "raw/k"])).toEqual(printed("\x1b[31mred\r\n\0\n"));
  });

  test("of a prefix are listed, a line each, in the order of the keys", async () => {
    for (const [key, value] of [
      ["b", "two"],
      ["a", 'a "quoted" \\n'],
      ["😀", "smile"],
      ["\uffee", "before it"],
      ["tab\t", "a\nb\tc\x1b[m"],
    ] as const) {
      await store.put(`list/${key}`, value);
    }
    await store.put("list0", "not in it");
    expect(await built.run(["get", "--prefix", "list/"])).toEqual(
      printed(
        'list/a\ta "quoted" \\n\nlist/b\ttwo\nlist/tab\\t\ta\\nb\\tc\\x1b[m\nlist/\uffee\tbefore it\nlist/😀\tsmile\n',
      ),
    );
    const json = await built.run(["get", "--prefix", "list/t", "--json"]);
    expect(JSON.parse(json.stdout)).toEqual({
      key: "list/tab\t",
      value: "a\nb\tc\x1b[m",
      revision: expect.any(Number) as number,
      createRevision: expect.any(Number) as number,
    });
    expect(await built.run(["get", "--prefix", "list/b", "--base64"])).toEqual(printed("list/b\tdHdv\n"));
    expect((await built.run(["get", "--prefix", ""])).stdout).toContain("\nlist0\tnot in it\n");
  });

  test("of a prefix without keys are absent", async () => {
    expect(await built.run(["get", "--prefix", "nobody/"])).toEqual(failed(3, 'no key begins with "nobody/"'));
    const { stderr } = await built.run(["get", "nobody/"]);
    expect(stderr).toBe('event-value: "nobody/" is absent (--prefix lists the keys that begin with it)\n');
  });

  test("of a prefix that cannot be shown are left out and counted", async () => {
    await store.put("mixed/a", "text");
    await store.put("mixed/b", new Uint8Array([0xff]));
    await store.put(Buffer.from("mixed/\xff", "latin1"), "text");
    const message = "left out 2 of 3 keys, as key or value is not UTF-8 text: use --json";
    expect(await built.run(["get", "--prefix", "mixed/"])).toEqual({
      ...failed(1, message),
      stdout: "mixed/a\ttext\n",
    });
    const json = await built.run(["get", "--prefix", "mixed/", "--json"]);
    expect(json.code).toBe(0);
    expect(
      json.stdout
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as unknown),
    ).toMatchObject([
      { key: "mixed/a", value: "text" },
      { key: "mixed/b", valueBase64: "/w==" },
      { type: "invalid", key: "mixed/\ufffd", valueBase64: Buffer.from("text").toString("base64") },
    ]);
  });

  test("are listed whole, however many there are", async () => {
    await Promise.all(Array.from({ length: 200 }, (_, i) => store.put(`many/${i}`, "x".repeat(10_000))));
    const { code, stdout } = await built.run(["get", "--prefix", "many/"]);
    expect(code).toBe(0);
    expect(stdout.split("\n")).toHaveLength(201);
    expect(stdout.length).toBeGreaterThan(2_000_000);
  });

  test("lie in the namespace", async () => {
    await built.run(["set", "--namespace", "team/", "k", "v"]);
    expect(await store.get("team/k")).toEqual(Buffer.from("v"));
    expect(await built.run(["get", "--namespace", "team/", "k"])).toEqual(printed("v\n"));
    expect(await built.run(["get", "--namespace", "team/", "--prefix", ""])).toEqual(printed("k\tv\n"));
  });

  test("are found at any member that answers", async () => {
    await store.put("members/k", "v");
    const [dead] = await freePorts(1);
    const endpoints = `http://127.0.0.1:${dead},${store.etcd.endpoint}`;
    expect(await built.run(["get", "members/k", "--store", endpoints])).toEqual(printed("v\n"));
    const env = { EVENT_VALUE_STORE: `http://127.0.0.1:${dead}` };
    expect(await built.run(["get", "members/k", "--store", store.etcd.endpoint], { env })).toEqual(printed("v\n"));
  });

  test("end a reader that has read enough cleanly", async () => {
    await Promise.all(Array.from({ length: 30 }, (_, i) => store.put(`pipe/${i}`, "x".repeat(10_000))));
    const script = `{ "$0" "$@"; echo "code $?" >&2; } | head -n 1 | wc -l`;
    const args = ["-c", script, process.execPath, built.main, "get", "--prefix", "pipe/"];
    const { stdout, stderr } = await built.startCommand("sh", args, { input: "" }).ended;
    expect([stdout.trim(), stderr]).toEqual(["1", "code 0\n"]);
  });

  describe("behind TLS", () => {
    let endpoint: string;
    let close: () => void;
    const authority = ["--cacert", "ca.pem"];
    const own = ["--cert", "client.pem", "--key", "client.key"];
    beforeAll(async () => {
      makeAuthority(built.folder, "ca");
      for (const name of ["server", "client"]) makeCertificate(built.folder, name, "ca");
      const encrypting = ["-in", "client.key", "-out", "encrypted.key", "-passout", "pass:secret"];
      execFileSync("openssl", ["pkcs8", "-topk8", ...encrypting], { cwd: built.folder, stdio: "ignore" });
      file("text", "no certificate");
      const pem = (name: string): Buffer => readFileSync(join(built.folder, name));
      const options = { ca: pem("ca.pem"), cert: pem("server.pem"), key: pem("server.key"), ALPNProtocols: ["h2"] };
      const server = createTlsServer({ ...options, requestCert: true, rejectUnauthorized: true }, (socket) => {
        const upstream = connect(store.etcd.port, "127.0.0.1");
        for (const end of [socket, upstream]) end.on("error", () => {});
        socket.pipe(upstream).pipe(socket);
      });
      server.on("tlsClientError", () => {});
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      endpoint = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
      close = () => void server.close();
      await store.put("tls/k", "v");
    });
    afterAll(() => close());

    test("are read by who trusts the server and is trusted by it", async () => {
      const args = ["get", "tls/k", ...authority, ...own];
      expect(await built.run([...args, "--store", endpoint])).toEqual(printed("v\n"));
      expect(await built.run([...args, "--store", endpoint.slice("https://".length)])).toEqual(printed("v\n"));
      expect(await built.run([...args, "--store", endpoint, "--server-name", "etcd.test"])).toEqual(printed("v\n"));
    });

    test("are not read by anybody else, who is told why", async () => {
      const get = (...args: string[]): Promise<Ended> =>
        built.run(["get", "tls/k", "--timeout", "1s", "--store", endpoint, ...args]);
      const prefix = `no answer from the store within 1s: ${endpoint}: `;
      expect(await get(...own)).toEqual(
        failed(4, /: its certificate is not trusted: .* \(--cacert says whom to trust\)\n$/),
      );
      expect(await get(...authority)).toEqual(
        failed(4, `${prefix}it asks for a client certificate (--cert and --key)`),
      );
      expect(await get(...authority, ...own, "--server-name", "other.test")).toEqual(failed(4, /other\.test/));
    });

    test("need files that can be used", async () => {
      const get = (...args: string[]): Promise<Ended> => built.run(["get", "tls/k", "--store", endpoint, ...args]);
      const usage = (message: string): object => failed(2, `${message} (see event-value --help)`);
      expect(await get("--cacert", "missing")).toEqual(usage('--cacert "missing" cannot be read: no such file'));
      expect(await get("--cacert", ".")).toEqual(usage('--cacert "." cannot be read: it is a directory'));
      expect(await get("--cacert", "client.key")).toEqual(usage('--cacert "client.key" is not in PEM form'));
      expect(await get("--cert", "text", "--key", "client.key")).toEqual(usage('--cert "text" is not in PEM form'));
      expect(await get("--cert", "client.pem", "--key", "text")).toEqual(usage('--key "text" is not in PEM form'));
      expect(await get("--cert", "client.pem", "--key", "server.key")).toEqual(
        usage('--key "server.key" does not belong to --cert "client.pem"'),
      );
      expect(await get("--cert", "client.pem", "--key", "encrypted.key")).toEqual(
        usage('--key "encrypted.key" is encrypted, which is not supported'),
      );
    });
  });
});

describe.skipIf(!etcdAvailable).concurrent("etcd with users", () => {
  let etcd: EtcdServer;
  let env: Record<string, string>;
  beforeAll(async () => {
    etcd = await startEtcd({ args: ["--bcrypt-cost=4"] });
    const store = new Store(etcd);
    await store.put("reader/k", "v");
    await store.enableAuth({ reader: "READ", writer: "WRITE" });
    env = { EVENT_VALUE_STORE: etcd.endpoint };
  });
  afterAll(async () => {
    await etcd[Symbol.asyncDispose]();
  });

  const as = (user: string, ...args: string[]): Promise<Ended> =>
    built.run([...args, "--user", user], { env: { ...env, EVENT_VALUE_PASSWORD: `${user}'s` } });
  const refused = (why: string): object => failed(1, `the store refused: ${etcd.endpoint}: ${why}`);

  test("lets in who has the password, and tells others", async () => {
    expect(await as("reader", "get", "reader/k")).toEqual(printed("v\n"));
    expect(await built.run(["get", "reader/k"], { env })).toEqual(refused("it asks who you are (--user)"));
    for (const user of ["reader", "nobody"]) {
      const wrong = built.run(["get", "reader/k", "--user", user], { env: { ...env, EVENT_VALUE_PASSWORD: "wrong" } });
      expect(await wrong).toEqual(refused("authentication failed, invalid user ID or password"));
    }
  });

  test("refuses what a user may not do", async () => {
    expect(await as("reader", "set", "reader/k", "w")).toEqual(refused("permission denied"));
    expect(await as("reader", "delete", "reader/k")).toEqual(refused("permission denied"));
    expect(await as("reader", "get", "writer/k")).toEqual(refused("permission denied"));
    expect(await as("reader", "get", "--prefix", "")).toEqual(refused("permission denied"));
    expect(await as("reader", "watch", "--prefix", "")).toEqual(refused("permission denied"));
  });

  test("lets a user write who may not read", async () => {
    expect(await as("writer", "set", "writer/k", "v")).toMatchObject({ code: 0 });
    expect(await as("writer", "delete", "writer/k")).toMatchObject({ code: 0 });
  });

  test("needs a password from the environment where there is no terminal to ask on", async () => {
    const message = "--user needs a password: set EVENT_VALUE_PASSWORD, stdin is not a terminal to ask on";
    expect(await built.run(["get", "k", "--user", "reader"], { env })).toEqual(
      failed(2, `${message} (see event-value --help)`),
    );
  });
});

describe.concurrent("a store that cannot be reached", () => {
  test("ends with 4 when the time is up, and with why", async () => {
    const [port] = await freePorts(1);
    const store = `http://127.0.0.1:${port}`;
    const why = `no answer from the store within 1s: ${store}: connection refused`;
    const commands = [
      ["get", "k"],
      ["set", "k", "v"],
      ["delete", "k"],
    ];
    const ended = await Promise.all(commands.map((args) => built.run([...args, "--store", store, "--timeout", "1s"])));
    for (const each of ended) expect(each).toEqual(failed(4, why));
  });

  test("is named where nothing is known but its silence", async () => {
    await using silent = await startSilentServer();
    const store = `${silent.endpoint},http://127.0.0.1:1`;
    const { code, stderr } = await built.run(["get", "k", "--store", silent.endpoint, "--timeout", "200ms"]);
    expect([code, stderr]).toEqual([4, `event-value: no answer from the store within 200ms: ${silent.endpoint}\n`]);
    expect(await built.run(["get", "k", "--store", store, "--timeout", "200ms"])).toEqual(
      failed(4, /^event-value: no answer from the store within 200ms: http:\S+(, http:\S+|: connection refused)\n$/),
    );
  });

  test("may be something else than etcd", async () => {
    const server = createWebServer((_, response) => response.writeHead(404).end()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const store = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, stderr } = await built.run(["get", "k", "--store", store, "--timeout", "1"]);
    server.close();
    expect(code).toBe(4);
    expect(stderr).toMatch(/^event-value: no answer from the store within 1s: .+\n$/);
  });

  test("is asked again until it answers", async () => {
    const [port] = await freePorts(1);
    const running = built.start(["get", "k", "--store", `http://127.0.0.1:${port}`, "--timeout", "0"]);
    const server = createServer((socket) => socket.destroy()).listen(port, "127.0.0.1");
    for (let i = 0; i < 3; i++) await once(server, "connection");
    server.close();
    running.kill("SIGTERM");
    expect(await running.ended).toEqual({ code: 143, signal: null, stdout: "", stderr: "" });
  });
});

/** A server that accepts connections and says nothing, as one that is frozen. */
async function startSilentServer(): Promise<{ endpoint: string; connected: Promise<unknown> } & AsyncDisposable> {
  const server = createServer((socket) => void socket.on("error", () => {}).resume()).listen(0, "127.0.0.1");
  const connected = once(server, "connection");
  await once(server, "listening");
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connected,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

describe.concurrent("a write whose answer does not come", () => {
  /** Answers reads; what becomes of writes is for `write`. */
  async function startStore(write: (answer: (message: Uint8Array, status?: number) => void, drop: () => void) => void) {
    const header = { clusterId: "1", memberId: "1", revision: 1, raftTerm: 1 };
    const nothing = RangeResponse.encode({ header, kvs: [], more: false, count: 0 }).finish();
    return startGrpcServer({
      call: ({ path, answer, stream }) => {
        if (path === range.path) answer(nothing, 0);
        else if (path === put.path) write(answer, () => stream.session?.destroy());
      },
    });
  }

  test("may have been applied, says the timeout", async () => {
    await using server = await startStore(() => {});
    expect(await built.run(["set", "k", "v", "--store", server.endpoint, "--timeout", "1s"])).toEqual(
      failed(4, `no answer from the store within 1s, the write may have been applied: ${server.endpoint}`),
    );
  });

  test("may have been applied, says a lost connection", async () => {
    await using server = await startStore((_, drop) => drop());
    expect(await built.run(["set", "k", "v", "--store", server.endpoint])).toEqual(
      failed(4, /^event-value: no answer from the store, the write may have been applied: http:[^\n]+\n$/),
    );
  });

  test("may have been applied, says an interruption", async () => {
    let reached = (): void => {};
    const written = new Promise<void>((resolve) => (reached = resolve));
    await using server = await startStore(() => reached());
    const running = built.start(["set", "k", "v", "--store", server.endpoint]);
    await written;
    running.kill("SIGINT");
    expect(await running.ended).toEqual(failed(130, "interrupted: the write may have been applied"));
  });

  test("was applied where it does come", async () => {
    const atRevision7 = Uint8Array.of(0x0a, 2, 0x18, 7);
    await using server = await startStore((answer) => answer(atRevision7, 0));
    expect(await built.run(["set", "k", "v", "--store", server.endpoint])).toEqual(printed("7\n"));
  });
});

describe.concurrent("the program", () => {
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("ends at once by %s, whatever it waits for", async (signal, code) => {
    await using silent = await startSilentServer();
    const running = built.start(["get", "k", "--store", silent.endpoint, "--timeout", "60s"]);
    await silent.connected;
    const asked = performance.now();
    running.kill(signal);
    expect(await running.ended).toEqual({ code, signal: null, stdout: "", stderr: "" });
    expect(performance.now() - asked).toBeLessThan(1500);
  });

  test.skipIf(process.platform === "win32")("ends at once also where a thread of it is stuck", async () => {
    execFileSync("mkfifo", [join(built.folder, "fifo")]);
    // Node's own exit would wait until somebody opens the other end.
    const running = built.start(["set", "k", "--file", "fifo", "--store", "http://127.0.0.1:1"], {
      env: { NODE_OPTIONS: `--import ${tellWhenOpening}` },
    });
    await running.until(() => running.stderr.includes("opening"));
    running.kill("SIGINT");
    expect(await running.ended).toMatchObject({ code: null, signal: "SIGINT" });
  });
  const tellWhenOpening =
    "data:text/javascript,const%20t=setInterval(()=>{if(process.getActiveResourcesInfo().includes('FSReqPromise')){process.stderr.write('opening');clearInterval(t)}},5)";

  test("prints help and version, and needs no store for that", async () => {
    const help = await built.run(["--help"]);
    expect(help).toEqual(printed(expect.stringMatching(/^event-value - /) as string));
    expect((await built.run(["help", "set"])).stdout).toMatch(/^event-value set - /);
    const { version } = JSON.parse(readFileSync(join(built.folder, "package.json"), "utf8")) as { version: string };
    expect(await built.run(["--version"])).toEqual(printed(`${version}\n`));
  });

  test("says what is wrong with its arguments in one line", async () => {
    const usage = (message: string): object => failed(2, `${message} (see event-value --help)`);
    expect(await built.run([])).toEqual(usage("missing command: one of watch, get, set, delete, run, lease"));
    expect(await built.run(["get", "k", "--frobnicate"])).toEqual(
      usage("unknown option --frobnicate; an argument that begins with a dash goes after --"),
    );
    const store = ["--store", "http://127.0.0.1:1"];
    expect(await built.run(["set", "k", "--file", "missing", ...store])).toEqual(
      usage('--file "missing" cannot be read: no such file'),
    );
    expect(await built.run(["set", "k", "no base64!", "--base64", ...store])).toEqual(
      usage("set: with --base64 the value must be in base64"),
    );
  });

  test("tells of an error that nobody expected in one line, without a stack", async () => {
    const later =
      "process.on('newListener',(name)=>{if(name==='uncaughtException')setTimeout(()=>{throw(Error('a%5Cnb'))})})";
    await using silent = await startSilentServer();
    const ended = await built.run(["get", "k", "--store", silent.endpoint], {
      env: { NODE_OPTIONS: `--import data:text/javascript,${later}` },
    });
    expect(ended).toEqual(failed(1, "unexpected error: a b"));
  });

  test.skipIf(!existsSync("/dev/full"))("says that stdout cannot be written to", async () => {
    const running = built.startCommand("sh", ["-c", '"$0" "$@" >/dev/full', process.execPath, built.main, "--help"]);
    expect(await running.ended).toEqual(failed(1, /^event-value: cannot write to stdout: .*ENOSPC[^\n]*\n$/));
  });
});
