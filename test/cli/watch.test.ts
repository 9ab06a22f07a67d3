/** watch where no terminal reads it: lines of JSON, run as users run it. */
import { once } from "node:events";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { etcdAvailable } from "../support/etcd.ts";
import { freePorts } from "../support/ports.ts";
import { startProxy } from "../support/proxy.ts";
import { Built, type Running } from "./built.ts";
import { type Store, useStore } from "./store.ts";

let built: Built;
beforeAll(() => {
  built = new Built();
});
afterAll(() => built[Symbol.dispose]());

const anyRevision = expect.any(Number) as number;

describe.skipIf(!etcdAvailable).concurrent("watching etcd", () => {
  let store: Store;
  useStore(
    () => built,
    (begun) => (store = begun),
  );

  async function stop(watching: Running): Promise<void> {
    watching.kill("SIGINT");
    expect(await watching.ended).toMatchObject({ code: 130, signal: null });
  }

  /** Resolves when so many lines are there; tells them. */
  async function lines(watching: Running, count: number): Promise<unknown[]> {
    await watching.until(() => watching.objects.length >= count);
    return watching.objects;
  }

  test("prints what is there, and then each change, as a JSON object a line", async () => {
    const first = await store.put("range/b", "one");
    await store.put("range/a", 'two\n"\x9b');
    const watching = built.start(["watch", "range/"]);
    expect(await lines(watching, 2)).toEqual([
      { type: "put", key: "range/b", value: "one", revision: first, createRevision: first },
      { type: "put", key: "range/a", value: 'two\n"\x9b', revision: anyRevision, createRevision: anyRevision },
    ]);
    expect(watching.stdout).toContain("\\u009b");
    const changed = await store.put("range/b", "three");
    await lines(watching, 3);
    const deleted = await store.delete("range/a");
    await lines(watching, 4);
    const binary = await store.put("range/c", new Uint8Array([0xff]));
    await lines(watching, 5);
    const notText = await store.put(Buffer.from("range/\xff", "latin1"), "v");
    expect((await lines(watching, 6)).slice(2)).toEqual([
      { type: "put", key: "range/b", value: "three", revision: changed, createRevision: first },
      { type: "delete", key: "range/a", revision: deleted },
      { type: "put", key: "range/c", valueBase64: "/w==", revision: binary, createRevision: binary },
      {
        type: "invalid",
        key: "range/\ufffd",
        valueBase64: "dg==",
        revision: notText,
        error: expect.any(String) as string,
      },
    ]);
    await watching.until(() => watching.stderr !== "");
    expect(watching.stderr).toBe("event-value: live\n");
    await stop(watching);
  });

  test("watches one key, which may be absent, and nothing beside it", async () => {
    const watching = built.start(["watch", "single/k", "--base64"]);
    await watching.until(() => watching.stderr.includes("live"));
    await store.put("single/k0", "another");
    await store.put("single/k", "v");
    expect(await lines(watching, 1)).toMatchObject([{ type: "put", key: "single/k", valueBase64: "dg==" }]);
    await stop(watching);
  });

  test("watches all that begins with --prefix, in the namespace", async () => {
    await store.put("team/key-1", "v");
    await store.put("team/kez", "v");
    const watching = built.start(["watch", "--namespace", "team/", "--prefix", "ke"]);
    const all = built.start(["watch", "--prefix", ""]);
    expect(await lines(watching, 2)).toMatchObject([{ key: "key-1" }, { key: "kez" }]);
    await all.until(() => all.stdout.includes('"team/kez"'));
    await Promise.all([stop(watching), stop(all)]);
  });

  test("ends cleanly when its reader has read enough", async () => {
    await store.put("head/k", "one");
    const script = `{ "$0" "$@"; echo "code $?" >&2; } | head -n 1`;
    const watching = built.startCommand("sh", ["-c", script, process.execPath, built.main, "watch", "head/"]);
    await watching.until(() => watching.stdout.includes("\n"));
    for (let i = 0; !watching.stderr.includes("code"); i++) await store.put("head/k", `${i}`);
    expect(await watching.ended).toMatchObject({
      stderr: expect.stringMatching(/^(event-value: live\n)?code 0\n$/) as string,
    });
    expect(watching.objects).toHaveLength(1);
  });

  test("gives a slow reader the newest, not everything", async () => {
    await store.put("slow/k", "first");
    const watching = built.start(["watch", "slow/"]);
    await lines(watching, 1);
    const resume = watching.pause();
    const filler = "x".repeat(100_000);
    let last = 0;
    for (let i = 0; i < 100; i++) last = await store.put("slow/k", `${i}${filler}`);
    resume();
    await watching.until(() => (watching.objects.at(-1) as { revision: number }).revision === last);
    expect(watching.objects.length).toBeLessThan(60);
    await stop(watching);
  });

  test("says that it is stale while it is cut off, and goes on with what it missed", async () => {
    await using proxy = await startProxy(store.etcd.port);
    await store.put("cut/k", "before");
    const watching = built.start(["watch", "cut/", "--store", proxy.endpoint]);
    await lines(watching, 1);
    await watching.until(() => watching.stderr === "event-value: live\n");
    await proxy.cut();
    await watching.until(() => watching.stderr.includes("stale"));
    await store.put("cut/k", "skipped");
    const missed = await store.put("cut/k", "missed");
    await proxy.heal();
    expect((await lines(watching, 2))[1]).toMatchObject({ value: "missed", revision: missed });
    await watching.until(() => watching.stderr.split("\n").length === 4);
    expect(watching.stderr).toBe(
      `event-value: live\nevent-value: stale: ${proxy.endpoint}: connection refused\nevent-value: live\n`,
    );
    await stop(watching);
  });

  test("keeps trying where nobody answers, says why once, and begins when somebody does", async () => {
    const [port] = await freePorts(1);
    const store1 = `http://127.0.0.1:${port}`;
    await store.put("late/k", "v");
    const watching = built.start(["watch", "late/", "--store", store1]);
    const told = `event-value: connecting: ${store1}: connection refused\n`;
    await watching.until(() => watching.stderr === told);
    const server = createServer((socket) => socket.destroy()).listen(port, "127.0.0.1");
    await once(server, "listening");
    for (let i = 0; i < 3; i++) await once(server, "connection");
    expect(watching.stderr.split("connection refused")).toHaveLength(2);
    watching.kill("SIGINT");
    expect(await watching.ended).toMatchObject({ code: 130, signal: null, stdout: "" });
    server.close();
  });
});

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("watching a store that never answers ends at once by %s", async (signal, code) => {
  const server = createServer((socket) => void socket.on("error", () => {}).resume()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const connected = once(server, "connection");
  const watching = built.start(["watch", "k", "--store", `http://127.0.0.1:${port}`]);
  await connected;
  const asked = performance.now();
  watching.kill(signal);
  expect(await watching.ended).toEqual({ code, signal: null, stdout: "", stderr: "" });
  expect(performance.now() - asked).toBeLessThan(1500);
  server.close();
});
