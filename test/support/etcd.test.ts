import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it, vi } from "vitest";
import { startCluster } from "./cluster.ts";
import { type EtcdServer, etcdAvailable, startEtcd } from "./etcd.ts";
import { freePorts } from "./ports.ts";
import { stateOf } from "./process-state.ts";

// The real thing, unless a test says which ports it gives next.
vi.mock("./ports.ts", { spy: true });

const base64 = (text: string): string => Buffer.from(text).toString("base64");

async function put(etcd: EtcdServer, key: string, value: string): Promise<void> {
  await etcd.call("/v3/kv/put", { key: base64(key), value: base64(value) });
}

async function get(etcd: EtcdServer, key: string): Promise<string | undefined> {
  const { kvs } = (await etcd.call("/v3/kv/range", { key: base64(key) })) as { kvs?: [{ value: string }] };
  return kvs && Buffer.from(kvs[0].value, "base64").toString();
}

function isRunning(pid: number): boolean {
  return !["Z", undefined].includes(stateOf(pid));
}

describe.skipIf(!etcdAvailable)("startEtcd", () => {
  it("starts a server that serves, and leaves neither process nor folder", async () => {
    const folder = mkdtempSync(join(tmpdir(), "event-value-own-"));
    vi.stubEnv("TMPDIR", folder);
    try {
      const etcd = await startEtcd();
      const pid = etcd.pid as number;
      await put(etcd, "a", "1");
      expect(await get(etcd, "a")).toBe("1");
      expect(etcd.version).toMatch(/^3\.\d+\.\d+$/);
      expect(isRunning(pid)).toBe(true);
      expect(readdirSync(folder)).toHaveLength(1);
      await etcd[Symbol.asyncDispose]();
      expect(isRunning(pid)).toBe(false);
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      vi.unstubAllEnvs();
      rmSync(folder, { recursive: true });
    }
  });

  it.each(["kill", "stop"] as const)("keeps data and port over a %s and a restart", async (end) => {
    await using etcd = await startEtcd();
    await put(etcd, "a", "1");
    const { pid, endpoint } = etcd;
    await etcd[end]();
    expect(etcd.pid).toBeUndefined();
    await expect(get(etcd, "a")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    await etcd.restart();
    expect(etcd).toMatchObject({ endpoint });
    expect(etcd.pid).not.toBe(pid);
    expect(await get(etcd, "a")).toBe("1");
  });

  it("does not answer while it is frozen", async () => {
    await using etcd = await startEtcd();
    await put(etcd, "a", "1");
    await etcd.freeze();
    expect(stateOf(etcd.pid as number)).toBe("T");
    let answered = false;
    const read = get(etcd, "a").finally(() => (answered = true));
    // The kernel still takes connections, this one after the one of the read.
    const connection = connect(etcd.port, "127.0.0.1");
    await once(connection, "connect");
    connection.destroy();
    expect(answered).toBe(false);
    etcd.thaw();
    expect(await read).toBe("1");
  });

  it("can be killed, stopped and disposed of while it is frozen", async () => {
    for (const end of ["kill", "stop", Symbol.asyncDispose] as const) {
      await using etcd = await startEtcd();
      await etcd.freeze();
      await etcd[end]();
      expect(etcd.pid).toBeUndefined();
    }
  });

  it("forgets everything when it is wiped", async () => {
    await using etcd = await startEtcd();
    await put(etcd, "a", "1");
    await etcd.wipe();
    expect(await get(etcd, "a")).toBeUndefined();
  });

  it("hands further arguments to the server, and reports why one does not start", async () => {
    await using etcd = await startEtcd({ snapshotCount: 10, args: ["--max-request-bytes", "2000"] });
    await expect(put(etcd, "a", "x".repeat(3000))).rejects.toThrow("too large");
    await expect(startEtcd({ args: ["--heartbeat-interval", "0"] })).rejects.toThrow("must be >0");
  });

  it("takes other ports when one is taken at the last moment", async () => {
    const thief = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
    await once(thief, "listening");
    const { port } = thief.address() as { port: number };
    const [peerPort] = await freePorts(1);
    vi.mocked(freePorts).mockResolvedValueOnce([port, peerPort as number]);
    await using etcd = await startEtcd();
    expect(etcd.port).not.toBe(port);
    thief.close();
    await once(thief, "close");
  });

  it("does not mistake another server on its port for itself", async () => {
    await using other = await startEtcd();
    const [peerPort] = await freePorts(1);
    vi.mocked(freePorts).mockResolvedValueOnce([other.port, peerPort as number]);
    await using etcd = await startEtcd();
    expect(etcd.port).not.toBe(other.port);
  });

  it.each([
    ["is killed", "", "SIGKILL"],
    ["is killed with the server frozen", "etcd.freeze();", "SIGKILL"],
    ["is killed with the server down", "await etcd.kill();", "SIGKILL"],
    ["just exits", "", undefined],
  ] as const)("leaves nothing when a test process %s", async (_, then, signal) => {
    const folder = mkdtempSync(join(tmpdir(), "event-value-orphan-"));
    try {
      compileSupport(folder);
      const script = `
        import { startEtcd } from "./etcd.js";
        const etcd = await startEtcd();
        const { pid } = etcd;
        ${then}
        console.log(pid);
        ${signal === undefined ? "process.exit();" : ""}`;
      writeFileSync(join(folder, "orphan.js"), script);
      const child = spawn(process.execPath, ["orphan.js"], {
        cwd: folder,
        env: { ...process.env, TMPDIR: folder },
        stdio: ["ignore", "pipe", "inherit"],
      });
      const [pid] = (await once(createInterface(child.stdout), "line")) as [string];
      if (signal !== undefined) child.kill(signal);
      await vi.waitFor(
        () => {
          expect(isRunning(Number(pid))).toBe(false);
          expect(readdirSync(folder).filter((name) => name.startsWith("event-value-etcd-"))).toEqual([]);
        },
        { timeout: 10_000 },
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe.skipIf(!etcdAvailable)("startCluster", () => {
  it("survives the loss of its leader and takes the member back", async () => {
    await using cluster = await startCluster(3);
    expect(cluster.endpoints).toHaveLength(3);
    const leader = await cluster.leader();
    const others = cluster.members.filter((member) => member !== leader) as [EtcdServer, EtcdServer];
    await put(leader, "a", "1");
    await leader.kill();
    const successor = await vi.waitFor(() => cluster.leader(), { timeout: 10_000 });
    expect(others).toContain(successor);
    await put(successor, "a", "2");
    await leader.restart();
    expect(await get(leader, "a")).toBe("2");
  });

  it("has no leader while a majority is frozen", async () => {
    await using cluster = await startCluster(3);
    const [first, second, third] = cluster.members as [EtcdServer, EtcdServer, EtcdServer];
    await first.freeze();
    await second.freeze();
    await vi.waitFor(
      async () => {
        const { leader = "0" } = (await third.call("/v3/maintenance/status")) as { leader?: string };
        expect(leader).toBe("0");
      },
      { timeout: 10_000 },
    );
    first.thaw();
    second.thaw();
    await vi.waitFor(() => put(third, "a", "1"), { timeout: 10_000 });
  });
});

/** Plain JavaScript of this folder's modules, for a process that runs without the test runner. */
function compileSupport(outDir: string): void {
  const options = [
    "--target",
    "es2022",
    "--module",
    "nodenext",
    "--types",
    "node",
    "--rewriteRelativeImportExtensions",
  ];
  const source = join(import.meta.dirname, "etcd.ts");
  execFileSync("npx", ["--no-install", "tsc", source, "--outDir", outDir, "--ignoreConfig", ...options], {
    stdio: "pipe",
  });
  writeFileSync(join(outDir, "package.json"), '{ "type": "module" }');
}
