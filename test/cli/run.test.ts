/** run: a command that is started, restarted and stopped by a value, as users run it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { etcdAvailable } from "../support/etcd.ts";
import { freePorts } from "../support/ports.ts";
import { turn } from "../support/promises.ts";
import { startProxy } from "../support/proxy.ts";
import { Built, isRunning, type Running } from "./built.ts";
import { type Store, useStore } from "./store.ts";

let built: Built;
beforeAll(() => {
  built = new Built();
});
afterAll(() => built[Symbol.dispose]());

/** Tells what it was given, and with which process id it goes on until it is stopped. */
const serve = ["sh", "-c", 'echo "$EVENT_VALUE_KEY=$EVENT_VALUE $$"; exec sleep 1000'];
/** The same, but does not let itself be stopped. */
const stubborn = ["sh", "-c", 'trap "" TERM INT; echo "stubborn $$"; while :; do sleep 0.05; done'];

/** The process ids that the commands told, oldest first. */
function pids(running: Running): number[] {
  return [...running.stdout.matchAll(/ (\d+)$/gm)].map(([, pid]) => Number(pid));
}

/** What the commands told, less the process ids. */
function told(running: Running): string[] {
  return running.stdout.split("\n").flatMap((line) => line.replace(/ \d+$/, "") || []);
}

/** The lines on stderr, less those about the connection. */
function notes(running: Running): string[] {
  return running.stderr
    .split("\n")
    .filter((line) => line !== "" && !/^event-value: (connecting|live|stale)/.test(line))
    .map((line) => line.replace(/^event-value: /, ""));
}

describe.skipIf(!etcdAvailable).concurrent("run", () => {
  let store: Store;
  useStore(
    () => built,
    (begun) => (store = begun),
  );

  test("runs the command while there is the key, and anew when its value changes", async () => {
    const running = built.start(["run", "--when", "any/k", "--", ...serve]);
    await running.until(() => notes(running).length === 1);
    expect(notes(running)).toEqual(['waiting: "any/k" is absent']);
    await store.put("any/k", "one");
    await running.until(() => told(running).length === 1);
    await store.put("any/k", "two words\nand a line");
    await running.until(() => pids(running).length === 2);
    await store.delete("any/k");
    await running.until(() => notes(running).length === 2);
    expect(notes(running)[1]).toBe('waiting: "any/k" is absent');
    expect(pids(running).filter(isRunning)).toEqual([]);
    await store.put("any/k", "");
    await running.until(() => pids(running).length === 3);
    expect(told(running)).toEqual(["any/k=one", "any/k=two words", "and a line", "any/k="]);
    running.kill("SIGINT");
    expect(await running.ended).toMatchObject({ code: 130, signal: null });
    expect(pids(running).filter(isRunning)).toEqual([]);
  });

  test("with --equals runs the command while that is the value", async () => {
    await store.put("equals/k", "off");
    const running = built.start(["run", "--when", "equals/k", "--equals", "on", "--", ...serve]);
    await running.until(() => notes(running).length === 1);
    await store.put("equals/k", "on");
    await running.until(() => pids(running).length === 1);
    await store.put("equals/k", new Uint8Array([0xff]));
    await running.until(() => notes(running).length === 2);
    expect(pids(running).filter(isRunning)).toEqual([]);
    expect(notes(running)).toEqual(Array(2).fill('waiting: "equals/k" is not "on"'));
    running.kill("SIGTERM");
    expect(await running.ended).toMatchObject({ code: 143, signal: null, stdout: `equals/k=on ${pids(running)[0]}\n` });
  });

  test("leaves the command alone while its value is written again, also after a while without it unseen", async () => {
    await store.put("same/k", "v");
    const running = built.start(["run", "--when", "same/k", "--equals=v", "--", ...serve]);
    await running.until(() => pids(running).length === 1);
    await store.put("same/k", "v");
    await store.put("same/k", "w");
    await running.until(() => notes(running).length === 1);
    await store.put("same/k", "v");
    await running.until(() => pids(running).length === 2);
    running.kill("SIGINT");
    await running.ended;
    expect(told(running)).toEqual(["same/k=v", "same/k=v"]);
  });

  test("runs a command that has ended by itself again when the value changes, and says so", async () => {
    await store.put("ends/k", "3");
    const running = built.start(["run", "--when", "ends/k", "--", "sh", "-c", 'exit "$EVENT_VALUE"']);
    await running.until(() => notes(running).length === 1);
    await store.put("ends/k", "0");
    await running.until(() => notes(running).length === 2);
    const ended = (code: number): string => `"sh" has ended with code ${code}: waiting for "ends/k" to change`;
    expect(notes(running)).toEqual([ended(3), ended(0)]);
    running.kill("SIGINT");
    expect(await running.ended).toMatchObject({ code: 130 });
  });

  test("kills a command that has not ended in time, and only then starts the next", async () => {
    await store.put("stubborn/k", "one");
    const running = built.start(["run", "--when", "stubborn/k", "--grace", "200ms", "--", ...stubborn]);
    await running.until(() => pids(running).length === 1);
    await store.put("stubborn/k", "two");
    await running.until(() => pids(running).length === 2);
    expect(isRunning(pids(running)[0])).toBe(false);
    expect(notes(running)).toEqual(['"sh" has not ended within 200ms, and is killed']);
    running.kill("SIGTERM");
    expect(await running.ended).toMatchObject({ code: 143 });
    expect(pids(running).filter(isRunning)).toEqual([]);
  });

  test("kills the command at once by a second interrupt", async () => {
    await store.put("twice/k", "v");
    const running = built.start(["run", "--when", "twice/k", "--grace", "60s", "--", ...stubborn]);
    await running.until(() => pids(running).length === 1);
    running.kill("SIGINT");
    // What comes right after it, as through npx, is the same one.
    while (!running.hasEnded) {
      running.kill("SIGTERM");
      await turn();
    }
    // The end of stdout is waited for, which a command that goes on would keep open.
    expect(await running.ended).toMatchObject({ code: 143 });
  });

  test("does not run with a value that no environment can hold, and says why", async () => {
    await store.put("odd/k", new Uint8Array([0xff]));
    const running = built.start(["run", "--when", "odd/k", "--", ...serve]);
    await running.until(() => notes(running).length === 1);
    await store.put("odd/k", "v");
    await running.until(() => pids(running).length === 1);
    await store.put("odd/k", "nu\0ll");
    await running.until(() => notes(running).length === 2);
    expect(notes(running)).toEqual([
      'waiting: "odd/k" is not UTF-8 text',
      'waiting: "odd/k" has a null character in it, which no environment can hold',
    ]);
    running.kill("SIGINT");
    await running.ended;
  });

  test("gives the command its own stdin, and takes the key in its namespace", async () => {
    await store.put("team/input/k", "v");
    const args = ["run", "--when", "input/k", "--namespace", "team/", "--", "sh", "-c", 'cat; echo "$EVENT_VALUE_KEY"'];
    const running = built.start(args, { input: "typed\n" });
    await running.until(() => running.stdout.includes("k\n"));
    expect(running.stdout).toBe("typed\ninput/k\n");
    running.kill("SIGINT");
    await running.ended;
  });

  test("ends where the command cannot be run", async () => {
    await store.put("cannot/k", "v");
    for (const [file, why] of [
      ["no-such-command", "no such command"],
      ["/", "permission denied"],
    ] as const) {
      expect(await built.run(["run", "--when", "cannot/k", "--", file])).toMatchObject({
        code: 1,
        stdout: "",
        stderr: `event-value: cannot run "${file}": ${why}\n`,
      });
    }
    await store.put("cannot/k", "x".repeat(1_000_000));
    expect(await built.run(["run", "--when", "cannot/k", "--", "true"])).toMatchObject({
      code: 1,
      stderr: 'event-value: cannot run "true": its arguments and its environment are too long\n',
    });
  });

  test("goes on with the command while the store is cut off, and with what it missed", async () => {
    await using proxy = await startProxy(store.etcd.port);
    await store.put("cut/k", "before");
    const running = built.start(["run", "--when", "cut/k", "--store", proxy.endpoint, "--", ...serve]);
    await running.until(() => pids(running).length === 1 && running.stderr.includes("live"));
    await proxy.cut();
    await running.until(() => running.stderr.includes("stale"));
    expect(isRunning(pids(running)[0])).toBe(true);
    await store.put("cut/k", "missed");
    await proxy.heal();
    await running.until(() => pids(running).length === 2);
    expect(told(running)).toEqual(["cut/k=before", "cut/k=missed"]);
    running.kill("SIGINT");
    expect(await running.ended).toMatchObject({ code: 130 });
  });

  test("takes the command with it where it ends by an error", async () => {
    await store.put("error/k", "v");
    const running = built.start(["run", "--when", "error/k", "--", ...serve], {
      env: { NODE_OPTIONS: `--import data:text/javascript,${failOnRequest}` },
    });
    await running.until(() => pids(running).length === 1);
    running.kill("SIGUSR2");
    // The end of stdout is waited for, which a command that goes on would keep open.
    expect(await running.ended).toMatchObject({ code: 1 });
    expect(running.stderr).toContain("unexpected error: broken\n");
  });
  const failOnRequest = "process.on('SIGUSR2',()=>{throw(Error('broken'))})";
});

test("run ends at once by SIGTERM where nobody answers, and says why nothing runs", async () => {
  const [port] = await freePorts(1);
  const store = `http://127.0.0.1:${port}`;
  const running = built.start(["run", "--when", "k", "--store", store, "--", "true"]);
  await running.until(() => running.stderr === `event-value: connecting: ${store}: connection refused\n`);
  running.kill("SIGTERM");
  expect(await running.ended).toMatchObject({ code: 143, signal: null, stdout: "" });
});
