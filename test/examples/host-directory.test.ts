/** examples/host-directory as a user runs it: in processes of its own, by the script that is behind `npm start`. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname, networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { etcdAvailable, type EtcdServer, startEtcd } from "../support/etcd.ts";
import { startProxy } from "../support/proxy.ts";
import { Example, until } from "./example.ts";

const folder = mkdtempSync(join(tmpdir(), "event-value-example-"));
const header = "# Kept up to date by the host-directory example of event-value: changes made by hand are lost.\n";

beforeAll(async () => {
  await using example = start("--help"); // builds what is not built
  await example.printed("Usage: npm start -- [options]");
  await example.ended();
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function start(...args: readonly string[]): Example {
  return new Example("start.mjs", ...args);
}

/** One machine among others. What a test that ran out of time leaves behind ends by itself. */
function startIn(store: string, name: string, file: string, ttl: string): Example {
  return start("--store", store, "--name", name, "--hosts", file, "--ttl", ttl, "--for", "2m");
}

/** Resolves when the directory of this process has changed, as it goes on doing while all is well. */
async function changes(example: Example): Promise<void> {
  await example.printed("slow: delivered change", example.output.length);
}

/** Resolves when the file has these hosts, all with this machine's addresses. */
async function fileHas(file: string, ...names: readonly string[]): Promise<void> {
  const wanted = hostsFile(...names);
  const read = (): string | undefined => (existsSync(file) ? readFileSync(file, "utf8") : undefined);
  await until(
    () => read() === wanted,
    () => `${file} is not\n${wanted}but\n${read()}`,
  );
}

/** What a hosts file with this machine under these names must be, told from the interfaces. */
function hostsFile(...names: readonly string[]): string {
  const addresses = Object.values(networkInterfaces())
    .flat()
    .filter((address) => address?.internal === false && !/^fe[89ab]/.test(address.address))
    .map((address) => address?.address);
  const lines = names.flatMap((name) =>
    addresses.length === 0
      ? [`# ${name} has no address that others can reach`]
      : addresses.map((address) => `${address?.padEnd(15)} ${name}`),
  );
  return header + lines.map((line) => `${line}\n`).join("");
}

/** The last picture: how many changes there were, and what each consumer reports. */
function accounts(output: string) {
  const consumers = [...output.matchAll(/^(\S+) +(at once|every .*?) +(\d+) +(\d+) +change (\d+)$/gm)].map(
    ([, name, , ...numbers]) => {
      const [delivered, skipped, newest] = numbers.map(Number) as [number, number, number];
      return { name, delivered, skipped, newest };
    },
  );
  return { changes: Number(/^The directory changed (\d+) times/m.exec(output)?.[1]), consumers };
}

describe("in one process", { concurrent: true }, () => {
  test("writes this machine's real addresses, and accounts for every change", async () => {
    const file = join(folder, "embedded");
    await using example = start("--hosts", file, "--for", "1500ms");
    expect(await example.ended()).toBe(0);
    expect(example.errors).toBe("");
    expect(readFileSync(file, "utf8")).toBe(hostsFile(hostname()));

    const { changes, consumers } = accounts(example.output);
    expect(changes).toBeGreaterThan(5);
    expect(consumers.map(({ name }) => name)).toEqual(["fast", "slow", "slower"]);
    for (const { delivered, skipped, newest } of consumers) {
      expect(delivered + skipped).toBe(changes);
      expect(newest).toBe(changes);
    }
    const [fast, slow, slower] = consumers;
    expect(fast?.skipped).toBe(0);
    expect(slow?.skipped).toBeGreaterThan(0);
    expect(slower?.delivered).toBe(2); // the first change, and the last
  });

  test("leaves a hosts file as it is while its content is right", async () => {
    const file = join(folder, "unchanged");
    writeFileSync(file, hostsFile("alpha"));
    const before = statSync(file);
    await using example = start("--hosts", file, "--name", "alpha", "--for", "300ms");
    expect(await example.ended()).toBe(0);
    expect(statSync(file)).toMatchObject({ ino: before.ino, mtimeMs: before.mtimeMs });
    expect(example.output).toContain(`${file}, found up to date`);
  });

  test("ends at once on an interrupt, with the last picture", async () => {
    await using example = start("--hosts", join(folder, "interrupted"));
    await example.printed("slow: delivered change");
    example.signal("SIGINT");
    expect(await example.ended()).toBe(0);
    expect(example.errors).toBe("");
    const { changes, consumers } = accounts(example.output);
    expect(consumers.map(({ newest }) => newest)).toEqual([changes, changes, changes]);
  });

  test.for(["a file", "an empty file", "a folder", "a link"])(
    "refuses to overwrite %s that it did not make",
    async (what) => {
      const file = join(folder, what);
      if (what === "a folder") mkdirSync(file);
      else if (what.startsWith("a link")) {
        writeFileSync(`${file}'s target`, header);
        symlinkSync(`${file}'s target`, file);
      } else writeFileSync(file, what === "a file" ? "127.0.0.1 localhost\n" : "");
      await using example = start("--hosts", file);
      expect(await example.ended()).toBe(1);
      expect(example.output).toBe("");
      expect(example.errors).toBe(
        `host-directory: ${file} was not written by this program and is left alone: choose another with --hosts FILE\n`,
      );
      if (what === "a file") expect(readFileSync(file, "utf8")).toBe("127.0.0.1 localhost\n");
    },
  );

  test.for([
    [["--hots", "x"], "Unknown option '--hots'"],
    [["--for", "10"], '--for must be a time such as 500ms, 10s or 5m, not "10"'],
    [["--name", "a b"], '--name must be a host name, not "a b"'],
    [["--store", "ftp://127.0.0.1"], "ftp://127.0.0.1"],
  ] as const)("answers %j with one line", async ([args, message]) => {
    await using example = start(...args);
    expect(await example.ended()).toBe(2);
    expect(example.errors).toMatch(/^host-directory: .*\n$/);
    expect(example.errors).toContain(message);
  });
});

// The suites wait more than they work: they run beside each other. The tests of this one share a server, one by one.
describe("through etcd", { concurrent: true, skip: !etcdAvailable }, () => {
  let etcd: EtcdServer;

  beforeAll(async () => {
    etcd = await startEtcd();
  });

  afterAll(async () => {
    await etcd?.[Symbol.asyncDispose]();
  });

  beforeEach(() => {
    for (const name of ["alpha", "beta"]) rmSync(file(name), { force: true });
  });

  const file = (name: string): string => join(folder, name);
  const startAs = (name: string, { store = etcd.endpoint, ttl = "2s" } = {}): Example =>
    startIn(store, name, file(name), ttl);

  test.sequential("machines find each other, and one that is killed disappears", async () => {
    await using alpha = startAs("alpha");
    await using beta = startAs("beta");
    await Promise.all([fileHas(file("alpha"), "alpha", "beta"), fileHas(file("beta"), "alpha", "beta")]);

    beta.signal("SIGKILL");
    const killed = performance.now();
    await fileHas(file("alpha"), "alpha");
    expect(performance.now() - killed).toBeLessThan(8000); // the TTL, and the time that a busy machine takes
    expect(readFileSync(file("beta"), "utf8")).toBe(hostsFile("alpha", "beta"));
    await alpha.printed("host beta: gone");
  });

  test.sequential("a machine that takes its leave disappears before its lease does", async () => {
    await using alpha = startAs("alpha");
    await using beta = startAs("beta", { ttl: "1h" });
    await fileHas(file("alpha"), "alpha", "beta");
    beta.signal("SIGINT");
    await fileHas(file("alpha"), "alpha");
    await alpha.printed("host beta: gone");
    expect(await beta.ended()).toBe(0);
    const { changes, consumers } = accounts(beta.output);
    for (const { delivered, skipped, newest } of consumers) {
      expect([delivered + skipped, newest]).toEqual([changes, changes]);
    }
  });

  test.sequential("a machine that is cut off keeps its hosts file, and publishes again when it is back", async () => {
    await using proxy = await startProxy(etcd.port);
    await using alpha = startAs("alpha");
    await using beta = startAs("beta", { store: proxy.endpoint });
    await Promise.all([fileHas(file("alpha"), "alpha", "beta"), fileHas(file("beta"), "alpha", "beta")]);

    proxy.blackhole();
    await fileHas(file("alpha"), "alpha");
    expect(readFileSync(file("beta"), "utf8")).toBe(hostsFile("alpha", "beta"));
    await proxy.heal();
    await fileHas(file("alpha"), "alpha", "beta");
    await changes(beta);
    expect(readFileSync(file("beta"), "utf8")).toBe(hostsFile("alpha", "beta"));
    expect(alpha.output).toContain("host beta: gone");
    expect(beta.output).not.toContain("gone");
  });

  test.sequential("an etcd that is not there yet is waited for, and the hosts file left alone until then", async () => {
    await etcd.stop();
    writeFileSync(file("alpha"), hostsFile("alpha", "beta"));
    await using alpha = startAs("alpha");
    await alpha.printed("ECONNREFUSED");
    expect(readFileSync(file("alpha"), "utf8")).toBe(hostsFile("alpha", "beta"));
    await etcd.restart();
    await fileHas(file("alpha"), "alpha");
  });

  test.sequential("a name that a living process has is refused; one that a dead process had is taken over", async () => {
    await using first = startAs("alpha");
    await first.printed("host alpha");
    await using second = startAs("alpha");
    expect(await second.ended()).toBe(1);
    expect(second.errors).toBe(
      "host-directory: another process publishes hosts/alpha in this etcd: choose another name with --name NAME\n",
    );
    first.signal("SIGKILL");
    await first.ended();
    await using third = startAs("alpha");
    await third.printed("host alpha");
  });

  test.sequential("what others wrote gets into a hosts file only if it is the state of a host", async () => {
    const put = (key: string, value: string): Promise<unknown> =>
      etcd.call("/v3/kv/put", { key: btoa(key), value: btoa(value) });
    const host = { run: "", sample: 1, addresses: [], load: 0, freeMemory: 0, totalMemory: 0, uptime: 0 };
    await put("hosts/evil\n10.0.0.1 bank.example", JSON.stringify(host));
    const addresses = [{ interface: "eth0", address: "10.0.0.1 bank.example\n10.0.0.1", internal: false }];
    await put("hosts/evil", JSON.stringify({ ...host, addresses }));
    await put("hosts/text", "evil");

    await using alpha = startAs("alpha");
    await fileHas(file("alpha"), "alpha");
    alpha.signal("SIGTERM");
    expect(await alpha.ended()).toBe(0);
    expect(alpha.output).toContain("hosts/evil is not the state of a host");
    expect(alpha.output).toContain("hosts/text is not the state of a host");
    expect(alpha.output).toContain("hosts/evil\ufffd10.0.0.1 bank.example is not the state of a host");
  });
});

describe("while etcd is down", { concurrent: true, skip: !etcdAvailable }, () => {
  test("nothing is lost, whether or not the leases outlive it", async () => {
    await using etcd = await startEtcd();
    const file = (name: string): string => join(folder, `${name}, etcd down`);
    await using alpha = startIn(etcd.endpoint, "alpha", file("alpha"), "4s");
    await using beta = startIn(etcd.endpoint, "beta", file("beta"), "4s");
    await Promise.all([fileHas(file("alpha"), "alpha", "beta"), fileHas(file("beta"), "alpha", "beta")]);

    await etcd.restart();
    await Promise.all([changes(alpha), changes(beta)]);

    await etcd.kill();
    const leasesLost = delay(4500);
    await Promise.all([alpha.printed("no answer since"), beta.printed("no answer since"), leasesLost]);
    const before = alpha.output.length;
    await etcd.restart();
    await alpha.printed("connected", before);
    await Promise.all([changes(alpha), changes(beta)]);

    for (const name of ["alpha", "beta"]) expect(readFileSync(file(name), "utf8")).toBe(hostsFile("alpha", "beta"));
    expect(alpha.output + beta.output).not.toContain("gone");
  });
});
