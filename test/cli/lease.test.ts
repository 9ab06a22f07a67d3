/** lease: held by a process, with keys that go with it, as users run it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { etcdAvailable } from "../support/etcd.ts";
import { freePorts } from "../support/ports.ts";
import { startProxy } from "../support/proxy.ts";
import { Built, isRunning, type Running } from "./built.ts";
import { type Store, useStore } from "./store.ts";

let built: Built;
beforeAll(() => {
  built = new Built();
});
afterAll(() => built[Symbol.dispose]());

/** Tells its process id, and goes on until it is stopped. */
const sleeper = ["sh", "-c", 'echo "pid $$"; exec sleep 1000'];

function pidOf(running: Running): number {
  return Number(/^pid (\d+)$/m.exec(running.stdout)?.[1]);
}

describe.skipIf(!etcdAvailable).concurrent("lease", () => {
  let store: Store;
  useStore(
    () => built,
    (begun) => (store = begun),
  );

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("prints its id when its keys are written, and revokes it by %s", async (signal, code) => {
    const folder = `held/${signal}`;
    const puts = ["--put", `${folder}/a=1`, "--put", `${folder}/b=x=y`, "--put", `${folder}/c=`];
    const running = built.start(["lease", "--ttl", "60s", ...puts]);
    await running.until(() => running.stdout.endsWith("\n"));
    expect(running.stdout).toMatch(/^[1-9]\d*\n$/);
    expect(await store.get(`${folder}/a`)).toEqual(Buffer.from("1"));
    expect(await store.get(`${folder}/b`)).toEqual(Buffer.from("x=y"));
    expect(await store.get(`${folder}/c`)).toEqual(Buffer.alloc(0));
    expect(await store.lease(running.stdout.trim())).toMatchObject({ granted: 60 });
    expect(await store.revisionsOf([`${folder}/a`, `${folder}/b`, `${folder}/c`])).toHaveLength(1);
    running.kill(signal);
    expect(await running.ended).toMatchObject({ code, signal: null, stderr: "" });
    for (const name of ["a", "b", "c"]) expect(await store.get(`${folder}/${name}`)).toBeUndefined();
  });

  test("is kept alive for longer than its time to live", async () => {
    const running = built.start(["lease", "--ttl", "1s", "--put", "alive/k=v"]);
    await running.until(() => running.stdout.endsWith("\n"));
    const { granted } = await store.lease(running.stdout.trim());
    const abandoned = await store.grant(granted);
    while ((await store.lease(abandoned)).left >= 0);
    expect((await store.lease(running.stdout.trim())).left).toBeGreaterThanOrEqual(0);
    expect(await store.get("alive/k")).toEqual(Buffer.from("v"));
    running.kill("SIGINT");
    await running.ended;
  });

  test("runs a command, whose stdout and exit code are its own, and is revoked when that has ended", async () => {
    const script = `echo "lease $EVENT_VALUE_LEASE"; "$0" "$1" get command/k; exit 7`;
    const args = ["lease", "--ttl", "60s", "--put", "command/k=v", "--", "sh", "-c", script];
    const { code, stdout, stderr } = await built.run([...args, process.execPath, built.main]);
    const [, id] = /^lease (\d+)\nv\n$/.exec(stdout) ?? [];
    expect(stderr).toBe(`event-value: holding lease ${id}\n`);
    expect(code).toBe(7);
    expect(await store.get("command/k")).toBeUndefined();
  });

  test("tells of a command that a signal has ended as shells do", async () => {
    const { code } = await built.run(["lease", "--ttl", "60s", "--", "sh", "-c", "kill -KILL $$"]);
    expect(code).toBe(137);
  });

  test("stops the command when it is interrupted, and is revoked when that has ended", async () => {
    const running = built.start(["lease", "--ttl", "60s", "--put", "stop/k=v", "--", ...sleeper]);
    await running.until(() => pidOf(running) > 0);
    running.kill("SIGTERM");
    expect(await running.ended).toMatchObject({ code: 143, signal: null });
    expect(isRunning(pidOf(running))).toBe(false);
    expect(await store.get("stop/k")).toBeUndefined();
  });

  test("is revoked in good order also where one interrupt comes twice, as through npx", async () => {
    const running = built.start(["lease", "--ttl", "60s", "--put", "npx/k=v", "--", ...sleeper]);
    await running.until(() => pidOf(running) > 0);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) running.kill(signal);
    expect([130, 143, 129]).toContain((await running.ended).code);
    expect(await store.get("npx/k")).toBeUndefined();
  });

  test("kills a command that does not let itself be stopped", async () => {
    const script = 'trap "" TERM; echo "pid $$"; while :; do sleep 0.05; done';
    const running = built.start(["lease", "--ttl", "60s", "--grace", "0.2", "--", "sh", "-c", script]);
    await running.until(() => pidOf(running) > 0);
    running.kill("SIGTERM");
    expect(await running.ended).toMatchObject({ code: 143 });
    expect(running.stderr).toContain('"sh" has not ended within 200ms, and is killed\n');
    expect(isRunning(pidOf(running))).toBe(false);
  });

  test("that somebody revokes is lost: that is said, the command is stopped, and the exit code is 5", async () => {
    const running = built.start(["lease", "--ttl", "2s", "--put", "lost/k=v", "--", ...sleeper]);
    const bare = built.start(["lease", "--ttl", "2s"]);
    await running.until(() => pidOf(running) > 0);
    await bare.until(() => bare.stdout.endsWith("\n"));
    const ids = [/holding lease (\d+)/.exec(running.stderr)?.[1] ?? "", bare.stdout.trim()] as const;
    for (const id of ids) await store.revoke(id);
    const why = (id: string): string =>
      `event-value: lease ${id} is lost: the store says that it has expired or was revoked\n`;
    expect(await running.ended).toMatchObject({ code: 5, signal: null });
    expect(running.stderr).toBe(`event-value: holding lease ${ids[0]}\n${why(ids[0])}`);
    expect(isRunning(pidOf(running))).toBe(false);
    expect(await bare.ended).toMatchObject({ code: 5, stderr: why(ids[1]) });
  });

  test("that cannot be kept alive in time is lost", async () => {
    await using proxy = await startProxy(store.etcd.port);
    const running = built.start(["lease", "--ttl", "1s", "--store", proxy.endpoint, "--", ...sleeper]);
    await running.until(() => pidOf(running) > 0);
    await proxy.cut();
    expect(await running.ended).toMatchObject({ code: 5, signal: null });
    expect(running.stderr).toContain("is lost: no keepalive was answered within its time to live\n");
    expect(isRunning(pidOf(running))).toBe(false);
  });

  test("is revoked where the command cannot be run", async () => {
    const ended = await built.run(["lease", "--ttl", "60s", "--put", "cannot/k=v", "--", "no-such-command"]);
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toContain('event-value: cannot run "no-such-command": no such command\n');
    expect(await store.get("cannot/k")).toBeUndefined();
  });

  test("is revoked in vain where the store has gone, and the program ends all the same", async () => {
    await using proxy = await startProxy(store.etcd.port);
    const running = built.start(["lease", "--ttl", "60s", "--store", proxy.endpoint]);
    await running.until(() => running.stdout.endsWith("\n"));
    await proxy.cut();
    running.kill("SIGINT");
    expect(await running.ended).toMatchObject({ code: 130, stderr: "" });
  });
});

test("lease ends with 4 where the store cannot be reached in time", async () => {
  const [port] = await freePorts(1);
  const store = `http://127.0.0.1:${port}`;
  expect(await built.run(["lease", "--ttl", "10s", "--store", store, "--timeout", "500ms"])).toEqual({
    code: 4,
    signal: null,
    stdout: "",
    stderr: `event-value: no answer from the store within 500ms: ${store}: connection refused\n`,
  });
});
