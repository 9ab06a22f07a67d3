/**
 * A real etcd for a test: started in a temp folder on free ports of 127.0.0.1, then killed, frozen, restarted or
 * wiped at will.
 *
 * Whatever becomes of the test, its servers end with it: `await using` ends them in the usual case, and a watchdog
 * process beside each server when the test process goes without, even when it is killed outright.
 */
import { type ChildProcess, type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { closeSync, cpSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { PeerProxy } from "./peer-proxy.ts";
import { freePorts } from "./ports.ts";
import { isStopped } from "./process-state.ts";

/** The server that the run has found (see global-setup.mjs); empty where there is none. */
const foundBin = process.env["EV_TEST_ETCD"] ?? "";

/** Whether there is an etcd to test against: `describe.skipIf(!etcdAvailable)`. With `CI=true` there always is. */
export const etcdAvailable: boolean = foundBin !== "";

/** Options of {@link startEtcd}. */
export interface EtcdOptions {
  /** The server to run; by default the one the run has found. */
  readonly bin?: string;
  /** After how many transactions the server takes a snapshot and drops its log: `--snapshot-count`. */
  readonly snapshotCount?: number;
  /** Further arguments of the server. */
  readonly args?: readonly string[];
  /** Whether members reach each other through proxies, by which they can be cut off: {@link EtcdServer.inbound}. */
  readonly partitionable?: boolean;
}

/** Starts a server of one member and resolves when it serves. */
export async function startEtcd(options?: EtcdOptions): Promise<EtcdServer> {
  const [server] = await startMembers(1, options);
  return server as EtcdServer;
}

/** Starts a cluster of `count` members and resolves when all of them serve. */
export async function startMembers(count: number, options: EtcdOptions = {}): Promise<EtcdServer[]> {
  for (let attempt = 1; ; attempt++) {
    const members = await configure(count, options);
    try {
      for (const { inbound } of members) await inbound?.listen();
      await Promise.all(members.map((member) => member.start()));
      await Promise.all(members.map((member) => member.identify()));
      return members;
    } catch (error) {
      await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
      // Between choosing a port and binding it another process can take it.
      const taken = error instanceof PortTakenError || (error as NodeJS.ErrnoException).code === "EADDRINUSE";
      if (!taken || attempt === 5) throw error;
    }
  }
}

async function configure(count: number, options: EtcdOptions): Promise<EtcdServer[]> {
  const bin = options.bin ?? foundBin;
  if (bin === "") throw new Error("no etcd: set EV_TEST_ETCD to the path of a server, or run the tests by npm test");
  const ports = await freePorts(3 * count);
  const token = randomUUID();
  const members = Array.from({ length: count }, (_, i) => {
    const [port, peerPort, proxyPort] = ports.slice(3 * i) as [number, number, number];
    const inbound = options.partitionable === true ? new PeerProxy(proxyPort, peerPort) : undefined;
    return { name: `${token}-${i}`, port, peerPort, inbound };
  });
  const cluster = members.map(({ name, peerPort, inbound }) => `${name}=${local(inbound?.port ?? peerPort)}`).join(",");
  const isOld = /^etcd Version: 3\.[0-4]\./.test(execFileSync(bin, ["--version"], { encoding: "utf8" }));
  const common = [`--initial-cluster=${cluster}`, "--auto-compaction-retention=0"];
  // What killing the process can lose does not depend on fsync. 3.4 does not know the option.
  if (!isOld) common.push("--unsafe-no-fsync");
  if (options.snapshotCount !== undefined) common.push(`--snapshot-count=${options.snapshotCount}`);
  common.push(...(options.args ?? []));
  return members.map((place) => new EtcdServer(bin, place, token, common));
}

function local(port: number): string {
  return `http://127.0.0.1:${port}`;
}

/** Where a member is found. */
interface Place {
  readonly name: string;
  readonly port: number;
  readonly peerPort: number;
  readonly inbound: PeerProxy | undefined;
}

/** One etcd process, over all its restarts. */
export class EtcdServer implements AsyncDisposable {
  /** The port for clients. */
  readonly port: number;
  /** The port for the other members. */
  readonly peerPort: number;
  /** Where clients connect to: `http://127.0.0.1:port`. */
  readonly endpoint: string;
  /** The member's name. */
  readonly name: string;
  /** The way from the other members, where it is one that can be cut. */
  readonly inbound: PeerProxy | undefined;
  /** The server's version, such as `3.4.23`. */
  version = "";
  readonly #bin: string;
  readonly #args: readonly string[];
  readonly #folder = mkdtempSync(join(tmpdir(), "event-value-etcd-"));
  readonly #data = join(this.#folder, "data");
  readonly #backup = join(this.#folder, "backup");
  readonly #watchdog = new Watchdog(this.#folder);
  /** The running process; set from its start to its exit, also while it is frozen. */
  #process: ChildProcess | undefined;

  /** What makes the cluster another one when it begins anew. */
  #token: string;

  /** @internal Use {@link startEtcd}. */
  constructor(bin: string, { name, port, peerPort, inbound }: Place, token: string, args: readonly string[]) {
    this.#bin = bin;
    this.name = name;
    this.port = port;
    this.peerPort = peerPort;
    this.inbound = inbound;
    this.endpoint = local(port);
    this.#token = token;
    this.#args = [
      `--name=${name}`,
      `--data-dir=${this.#data}`,
      `--listen-client-urls=${this.endpoint}`,
      `--advertise-client-urls=${this.endpoint}`,
      `--listen-peer-urls=${local(peerPort)}`,
      `--initial-advertise-peer-urls=${local(inbound?.port ?? peerPort)}`,
      ...args,
    ];
  }

  /** The running process; `undefined` while there is none. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Starts the process and resolves when it is healthy, which takes a leader. */
  async start(): Promise<void> {
    const ended = this.launch();
    const deadline = Date.now() + 30_000;
    while (!(await this.isHealthy(ended))) {
      if (ended.aborted) throw this.#failure("etcd ended before it served");
      if (Date.now() > deadline) throw this.#failure("etcd does not serve");
      await delay(20);
    }
  }

  /** Starts the process, which may take its time to serve. Its end aborts the signal. */
  launch(): AbortSignal {
    const log = openSync(join(this.#folder, "log"), "w");
    // A shell that becomes etcd (same process id) once it is told to: the watchdog knows of it by then.
    const started = spawn(
      "/bin/sh",
      ["-c", 'read -r _ && exec "$@"', "sh", this.#bin, ...this.#args, `--initial-cluster-token=${this.#token}`],
      {
        stdio: ["pipe", log, log],
        env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ETCD_"))),
      },
    );
    closeSync(log);
    this.#process = started;
    const ended = new AbortController();
    started.once("exit", () => {
      this.#process = undefined;
      this.#watchdog.guard(undefined);
      ended.abort();
    });
    this.#watchdog.guard(started.pid);
    started.stdin?.on("error", () => {}).end("\n");
    return ended.signal;
  }

  /** Makes sure that it is this server that answers on its port, and learns its version. @internal */
  async identify(): Promise<void> {
    const { members } = (await this.call("/v3/cluster/member/list")) as { members: { name: string }[] };
    if (!members.some(({ name }) => name === this.name)) throw new PortTakenError("another etcd answers on the port");
    this.version = ((await this.#http("GET", "/version")) as { etcdserver: string }).etcdserver;
  }

  /** Ends the process at once, as a crash does. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Ends the process in an orderly way. */
  async stop(): Promise<void> {
    this.thaw();
    await this.#end("SIGTERM");
  }

  /**
   * Stops the process without ending it, and resolves when it stands still: the kernel goes on accepting connections
   * for it, nobody answers.
   */
  async freeze(): Promise<void> {
    const running = this.#process;
    if (running === undefined) return;
    running.kill("SIGSTOP");
    // A signal takes its time.
    while (this.#process === running && !isStopped(running.pid!)) await delay(1);
  }

  /** Lets a frozen process go on. */
  thaw(): void {
    this.#process?.kill("SIGCONT");
  }

  /** Kills the process if it runs, and starts it on the same data and ports. Resolves when it is healthy. */
  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  /** As {@link restart}, but with all data lost: revisions begin again, under the same cluster id. */
  async wipe(): Promise<void> {
    await this.kill();
    this.erase();
    await this.start();
  }

  /** Removes all data of a member that does not run; with another `token` than before the cluster is another one. */
  erase(token: string = this.#token): void {
    this.#token = token;
    rmSync(this.#data, { recursive: true, force: true });
  }

  /** Copies the data as they are on disk. Of a frozen member that is what a crash would have left. */
  backUp(): void {
    rmSync(this.#backup, { recursive: true, force: true });
    cpSync(this.#data, this.#backup, { recursive: true });
  }

  /** Puts back what {@link backUp} copied, for a member that does not run. */
  restoreBackup(): void {
    this.erase();
    cpSync(this.#backup, this.#data, { recursive: true });
  }

  /**
   * Calls the server's JSON gateway, which owes nothing to the library under test: keys and values are in base64,
   * 64-bit integers are strings.
   *
   * @example await etcd.call("/v3/kv/compaction", { revision: "7" })
   */
  async call(path: string, body: unknown = {}): Promise<unknown> {
    return this.#http("POST", path, JSON.stringify(body));
  }

  /** Kills the process and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.inbound?.[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
    this.#watchdog.end();
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const running = this.#process;
    if (running === undefined) return;
    const exited = once(running, "exit");
    running.kill(signal);
    await exited;
  }

  /** Whether it serves, and has a leader. */
  async isHealthy(signal?: AbortSignal): Promise<boolean> {
    try {
      const { health } = (await this.#http("GET", "/health", undefined, signal)) as { health: unknown };
      return health === "true";
    } catch {
      return false;
    }
  }

  /** Every request has a connection of its own, so that none is left over for a test that counts its sockets. */
  async #http(method: string, path: string, body?: string, signal?: AbortSignal): Promise<unknown> {
    const timeout = AbortSignal.timeout(10_000);
    const sent = request(this.endpoint + path, {
      method,
      agent: false,
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    sent.end(body);
    const [response] = (await once(sent, "response")) as [AsyncIterable<Buffer> & { statusCode: number }];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const answer = Buffer.concat(chunks).toString();
    if (response.statusCode !== 200) throw new Error(`${path} answered ${response.statusCode}: ${answer}`);
    return JSON.parse(answer) as unknown;
  }

  #failure(what: string): Error {
    const log = readFileSync(join(this.#folder, "log"), "utf8");
    const message = `${what}; the end of its log:\n${log.trimEnd().split("\n").slice(-15).join("\n")}`;
    return log.includes("address already in use") ? new PortTakenError(message) : new Error(message);
  }
}

class PortTakenError extends Error {}

/**
 * A process that, when this one is gone, kills the server and removes its folder. It learns of that by the end of the
 * pipe between the two, which comes whatever ended this process.
 */
class Watchdog {
  readonly #process: ChildProcessByStdio<Writable, null, null>;

  constructor(folder: string) {
    // Reads the id of the process to guard, a line each time it changes.
    const script = `
      while read -r line; do
        [ "$line" = end ] && exit
        pid=$line
      done
      [ -n "$pid" ] && kill -9 "$pid"
      # What is being killed may still be writing.
      for _ in 1 2 3 4 5; do rm -rf "$0" && exit; sleep 0.2; done`;
    this.#process = spawn("/bin/sh", ["-c", script, folder], {
      stdio: ["pipe", "ignore", "ignore"],
      // In a group of its own it outlives a Ctrl-C, which goes to the whole group of the test run.
      detached: true,
    });
    this.#process.unref();
    this.#process.stdin.on("error", () => {});
  }

  /** From now on, it is `pid` that is killed; nothing where that is undefined. */
  guard(pid: number | undefined): void {
    this.#process.stdin.write(`${pid ?? ""}\n`);
  }

  end(): void {
    this.#process.stdin.end("end\n");
  }
}
