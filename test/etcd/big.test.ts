/**
 * K11: ranges of a million keys, values of megabytes, backlogs of hundreds of megabytes: against a real server, in
 * processes of their own where memory is measured. What memory may take is told in terms of the data: the bytes of keys
 * and values, as stored.
 */
import { spawn } from "node:child_process";
import { afterEach, describe, expect, test, vi } from "vitest";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { compact, range as rangeMethod } from "../../src/etcd/proto/methods.ts";
import { decodePage, type MakeKey, type Page, type WatchMessage } from "../../src/etcd/proto/hot-decoders.ts";
import type { Client } from "../../src/etcd/client.ts";
import type { StreamHandlers, Transport } from "../../src/etcd/transport.ts";
import { WatchStream } from "../../src/etcd/watch-stream.ts";
import { bytes, text } from "../../src/index.ts";
import type { ListedKey } from "../../src/range/conflating-log.ts";
import { prefixEnd } from "../../src/range/keys.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { compiled, type Tools } from "./child.ts";
import { startLine } from "./line.ts";
import { freshPrefix, raw, useEtcd } from "./store.ts";

type DecodePage = (bytes: Uint8Array, make: MakeKey<ListedKey>) => Page<ListedKey>;

vi.mock(import("../../src/etcd/proto/hot-decoders.ts"), async (original) => {
  const actual = await original();
  const decodePage = vi.fn<DecodePage>(actual.decodePage) as typeof actual.decodePage;
  return { ...actual, decodePage };
});

/** What comes of it. */
interface Measured<R> {
  readonly result: R;
  /** How many bytes of memory the process has had at most, beyond those it had before its task. */
  readonly peak: number;
}

/** Runs `task`, which is taken as text: it sees what it is given and globals only. */
async function measured<R>(
  task: (tools: Tools) => Promise<R>,
  given: Pick<Tools, "endpoint" | "prefix">,
  nodeOptions: readonly string[] = [],
): Promise<Measured<R>> {
  const program = `${await compiled()}
    const { readFileSync } = process.getBuiltinModule?.("node:fs") ?? require("node:fs");
    // What the process was forked from counts in maxRSS, but not in what Linux says of it.
    const memory = (name) => process.platform === "linux"
      ? 1024 * Number(new RegExp(name + ":\\\\s+(\\\\d+)").exec(readFileSync("/proc/self/status", "utf8"))[1])
      : name === "VmRSS" ? process.memoryUsage.rss() : 1024 * process.resourceUsage().maxRSS;
    const before = memory("VmRSS");
    (${task.toString()})({ ...library, ...${JSON.stringify(given)} }).then((result) => {
      process.stdout.write(JSON.stringify({ result, peak: memory("VmHWM") - before }), () => process.exit());
    });`;
  const child = spawn(process.execPath, [...nodeOptions, "-"], { stdio: "pipe" });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (part: string) => (stdout += part));
  child.stderr.setEncoding("utf8").on("data", (part: string) => (stderr += part));
  child.stdin.end(program);
  children.add(child);
  await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  children.delete(child);
  if (stdout === "") throw new Error(`the process came to nothing: ${stderr}`);
  return JSON.parse(stdout) as Measured<R>;
}

const children = new Set<ReturnType<typeof spawn>>();
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
});

const mega = 1_000_000;

describe.skipIf(!etcdAvailable)("big", () => {
  const server = useEtcd({
    args: ["--max-request-bytes=16000000", "--max-txn-ops=1024", "--quota-backend-bytes=8000000000"],
  });

  /** Writes that many keys, of 20 bytes each. Returns the bytes of keys and values. */
  async function load(prefix: string, keys: number, value: (i: number) => string): Promise<number> {
    let next = 0;
    let size = 0;
    const perWrite = Math.max(1, Math.min(512, Math.floor(mega / value(0).length)));
    const write = async (): Promise<void> => {
      while (next < keys) {
        const from = next;
        next += perWrite;
        const operations = Array.from({ length: Math.min(perWrite, keys - from) }, (_, n) => ({
          key: prefix + `${from + n}`.padStart(20 - prefix.length, "0"),
          value: value(from + n),
        }));
        for (const operation of operations) size += operation.key.length + operation.value.length;
        await server.store.txn(operations);
      }
    };
    await Promise.all(Array.from({ length: 16 }, write));
    return size;
  }

  const takeAllAtOnce = async ({ etcd, core, endpoint, prefix }: Tools): Promise<{ keys: number; all: boolean }> => {
    const keyspace = new etcd.EtcdKeyspace({ endpoints: [endpoint] });
    const watcher = keyspace.range(prefix, core.text).watch();
    const { changes } = await watcher.getBatch();
    const seen = new Uint8Array(changes.length);
    let [revision, inOrder] = [0, true];
    for (const change of changes) {
      seen[Number(change.key.slice(prefix.length))] = 1;
      inOrder &&= change.type === "put" && change.value.startsWith(`${Number(change.key.slice(prefix.length))}:`);
      inOrder &&= change.revision >= revision;
      revision = change.revision;
    }
    return { keys: changes.length, all: inOrder && !seen.includes(0) };
  };

  const takeOneByOne = async ({ etcd, core, endpoint, prefix }: Tools): Promise<{ keys: number; all: boolean }> => {
    const keyspace = new etcd.EtcdKeyspace({ endpoints: [endpoint] });
    const watcher = keyspace.range(prefix, core.text).watch();
    const seen = new Uint8Array(2 ** 20);
    let keys = 0;
    try {
      for (;;) {
        const { key } = await watcher.get({ backlogOnly: true });
        seen[Number(key.slice(prefix.length))] = 1;
        keys++;
      }
    } catch (error) {
      if (!core.isEventValueError(error, "EV_BACKLOG_DONE")) throw error;
    }
    return { keys, all: !seen.subarray(0, keys).includes(0) };
  };

  describe("memory", () => {
    test.each([
      ["a million keys of 100 bytes", 1_000_000, 100],
      ["thousands of keys of 10 kB", 8_000, 10_000],
    ])(
      "is at most 200 MB and three times the data, for %s",
      async (_what, count, length) => {
        const prefix = freshPrefix();
        const data = await load(prefix, count, (i) => `${i}:`.padEnd(length, "x"));
        const given = { endpoint: server.etcd.endpoint, prefix };
        const most = 200 * mega + 3 * data;
        // V8 lets garbage lie for as long as it has room, and longer where the machine is busy. What is measured is how
        // much is needed: the heap may have all of it but for what is beside the heap.
        const options = [`--max-old-space-size=${Math.floor((most - 88 * mega) / 2 ** 20)}`];
        for (const task of [takeAllAtOnce, takeOneByOne]) {
          const { result, peak } = await measured(task, given, options);
          expect(result).toEqual({ keys: count, all: true });
          expect(peak).toBeLessThan(most);
        }
      },
      180_000,
    );

    test("does not follow a backlog of 250 MB, which is delivered newest only, in whole transactions", async () => {
      await using line = await startLine(server.etcd.port);
      const prefix = freshPrefix();
      await load(prefix, 2, () => "-1".padEnd(mega, " "));
      const before = await server.store.watchers();
      const running = measured(
        async ({ etcd, core, endpoint, prefix: under }) => {
          const keyspace = new etcd.EtcdKeyspace({ endpoints: [endpoint] });
          const watcher = keyspace.range(under, core.text).watch();
          const held = new Map<string, string>();
          let [batches, split] = [0, 0];
          while (!held.has(`${under}end`)) {
            const { changes } = await watcher.getBatch();
            batches++;
            for (const change of changes)
              if (change.type === "put") held.set(change.key, change.value.slice(0, 10).trim());
            const [one, other] = [...held.values()];
            if (one !== other) split++;
          }
          return { batches, split, last: [...held.values()] };
        },
        { endpoint: line.endpoint, prefix },
      );
      await vi.waitFor(async () => expect(await server.store.watchers()).toBe(before + 1), { timeout: 20_000 });
      line.refuse();
      const keys = [0, 1].map((i) => prefix + `${i}`.padStart(20 - prefix.length, "0"));
      const writes = 125;
      for (let i = 0; i < writes; i++) {
        const value = `${i}`.padEnd(mega, " ");
        await server.store.txn(keys.map((key) => ({ key, value })));
      }
      await server.store.put(`${prefix}end`, "end");
      line.accept();
      const { result, peak } = await running;
      expect(result).toMatchObject({ split: 0, last: [`${writes - 1}`, `${writes - 1}`, "end"] });
      expect(result.batches).toBeLessThan(writes);
      expect(peak).toBeLessThan(180 * mega);
    });

    test("does not grow with what slow consumers miss, who hold up nobody else", async () => {
      const [prefix, other] = [freshPrefix(), freshPrefix()];
      await server.store.put(`${prefix}begin`, "begin");
      const before = await server.store.watchers();
      const running = measured(
        async ({ etcd, core, timers, endpoint, prefix: both }) => {
          const [under, beside] = both.split(" ") as [string, string];
          const keyspace = new etcd.EtcdKeyspace({ endpoints: [endpoint] });
          const range = keyspace.range(under, core.text);
          // One that never gets, one that got once and never again, one that takes a second for each.
          const [never, once, slow] = [range.watch(), range.watch(), range.watch()];
          await once.get();
          let slowGets = 0;
          void (async () => {
            for await (const _ of slow) {
              slowGets++;
              await timers.setTimeout(1000);
            }
          })();
          let elsewhere = 0;
          const otherRange = (async () => {
            for await (const change of keyspace.range(beside, core.text).watch()) {
              elsewhere++;
              if (change.key.endsWith("end")) return;
            }
          })();
          let fastGets = 0;
          for await (const change of range.watch()) {
            fastGets++;
            if (change.key.endsWith("end")) break;
          }
          await otherRange;
          // What they did not ask for is there, once for each key.
          const missed = [await never.getBatch(), await once.getBatch()].map(({ changes }) => changes.length);
          return { slowGets, fastGets, elsewhere, missed };
        },
        { endpoint: server.etcd.endpoint, prefix: `${prefix} ${other}` },
      );
      await vi.waitFor(async () => expect(await server.store.watchers()).toBe(before + 2), { timeout: 20_000 });
      const value = "x".repeat(100_000);
      const writes = 1500;
      for (let i = 0; i < writes; i += 10) {
        const operations = Array.from({ length: 10 }, (_, n) => ({ key: `${prefix}${n}`, value: `${i}${value}` }));
        await Promise.all([server.store.txn(operations), server.store.put(`${other}${i % 7}`, `${i}`)]);
      }
      await server.store.txn([`${prefix}end`, `${other}end`].map((key) => ({ key, value: "end" })));
      const { result, peak } = await running;
      // 150 MB went past them; the one that takes its time had a few of them when the others had the last.
      expect(result.slowGets).toBeLessThan(writes / 10);
      expect(result.fastGets).toBeGreaterThan(writes / 10);
      expect(result.elsewhere).toBeGreaterThan(writes / 20);
      expect(result.missed).toEqual([12, 11]);
      expect(peak).toBeLessThan(120 * mega);
    });
  });

  describe("pages", () => {
    const count = 3000;

    test("are all of one revision, while others write", async () => {
      await using keyspace = new EtcdKeyspace({ endpoints: [server.etcd.endpoint] });
      const prefix = freshPrefix();
      await load(prefix, count, (i) => `${i}:`.padEnd(1000, "x"));
      const range = keyspace.range(prefix, text);
      let writing = true;
      let revision = 0;
      const writer = (async () => {
        for (let i = 0; writing; i++) {
          const operations = [1, 5, 700, 2999].map((n) => ({
            key: prefix + `${n}`.padStart(20 - prefix.length, "0"),
            value: `${i}`,
          }));
          operations.push({ key: `${prefix}${i % 10}-new`, value: `${i}` });
          revision = await server.store.txn(operations);
        }
      })();
      for (let i = 0; i < 5; i++) {
        const begun = revision;
        using watcher = range.watch();
        const batch = i % 2 === 0 ? await range.read() : await watcher.getBatch();
        // Each page could have been of a state of its own.
        await vi.waitFor(() => expect(revision).toBeGreaterThan(begun + 3));
        const { kvs } = await server.store.call(rangeMethod, {
          key: raw(prefix),
          rangeEnd: prefixEnd(raw(prefix)),
          revision: batch.revision,
        });
        const then = kvs.map(({ key, value, modRevision }) => [key, Buffer.from(value).toString(), modRevision]);
        const listed = batch.changes.map((change) => [
          change.key,
          change.type === "put" ? change.value : change.type,
          change.revision,
        ]);
        expect(listed.sort(byKey)).toEqual(then.sort(byKey));
      }
      writing = false;
      await writer;
    });

    test("are read anew where their revision is compacted meanwhile", async () => {
      await using line = await startLine(server.etcd.port);
      await using keyspace = new EtcdKeyspace({ endpoints: [line.endpoint] });
      const prefix = freshPrefix();
      await load(prefix, count, (i) => `${i}:`.padEnd(1000, "x"));
      const [first, second] = [0, 1].map((i) => prefix + `${i}`.padStart(20 - prefix.length, "0")) as [string, string];
      const firstPages = (): Page<ListedKey>[] =>
        vi
          .mocked(decodePage)
          .mock.results.map(({ value }) => value as Page<ListedKey>)
          .filter(({ keys }) => keys[0]?.key === first);
      vi.mocked<DecodePage>(decodePage).mockClear();
      const calls = await server.store.calls("Range");
      const decode = vi.mocked<DecodePage>(decodePage).getMockImplementation()!;
      const held = new Promise<void>((resolve) => {
        // The first page comes over the connection of all calls, the others over one of their own.
        vi.mocked<DecodePage>(decodePage).mockImplementationOnce(decode);
        vi.mocked<DecodePage>(decodePage).mockImplementationOnce((message, make) => {
          line.hold(1);
          resolve();
          return decode(message, make);
        });
      });
      using watcher = keyspace.range(prefix, text).watch();
      const batch = watcher.getBatch();
      await held;
      // The third page is under way; the fourth will be asked for after the compaction.
      await vi.waitFor(async () => expect(await server.store.calls("Range")).toBeGreaterThanOrEqual(calls + 3));
      await server.store.put(first, "written meanwhile");
      const compacted = await server.store.delete(second);
      // Not waiting for what is discarded to be gone from the disk.
      await server.store.call(compact, { revision: compacted });
      line.release(1);
      const { type, revision, changes } = await batch;
      expect(type).toBe("snapshot");
      expect(revision).toBeGreaterThanOrEqual(compacted);
      expect(changes).toHaveLength(count - 1);
      expect(changes.at(-1)).toMatchObject({ key: first, value: "written meanwhile" });
      expect(firstPages().map(({ keys }) => keys[1]?.key === second)).toEqual([true, false]);
    });
  });

  test("revisions that came whole in a part of a response are handed on before the next part", async () => {
    let handlers!: StreamHandlers<WatchMessage>;
    const transport = {
      duplex: (_method: unknown, given: StreamHandlers<WatchMessage>) => {
        handlers = given;
        return { send: () => {}, close: () => {} };
      },
    } as unknown as Transport;
    const client = {
      closed: new AbortController().signal,
      current: transport,
      requestTimeoutMs: 60_000,
      access: async () => ({ transport, token: undefined }),
      leave: () => {},
    };
    const stream = new WatchStream(client as unknown as Client);
    const told: number[][] = [];
    const watch = stream.watch(
      { key: raw("k"), rangeEnd: undefined, startRevision: 1 },
      {
        created: () => {},
        events: (events) => void told.push(events.map(({ modRevision }) => modRevision)),
        progress: () => {},
        compacted: () => {},
        refused: () => {},
        lost: () => {},
      },
    );
    await vi.waitFor(() => expect(handlers).toBeDefined());
    const send = (fragment: boolean, ...revisions: number[]): void => handlers.message(messageOf(fragment, revisions));
    handlers.message({ ...messageOf(false, []), created: true });
    send(true, 5, 5, 6, 7, 7);
    expect(told).toEqual([[5, 5, 6]]);
    send(true, 7);
    send(true);
    expect(told).toHaveLength(1);
    send(true, 7, 8);
    expect(told.slice(1)).toEqual([[7, 7, 7, 7]]);
    send(false, 9, 9);
    expect(told.slice(2)).toEqual([[8, 9, 9]]);
    send(true, 10, 11);
    expect(told.slice(3)).toEqual([[10]]);
    // A response may end with a part that holds nothing.
    send(false);
    expect(told.slice(4)).toEqual([[11]]);
    watch.cancel();
    expect(stream.size).toBe(0);
  });

  describe("values of 8 MB", () => {
    test("are put, delivered, listed and changed", async () => {
      await using keyspace = new EtcdKeyspace({ endpoints: [server.etcd.endpoint] });
      await using reader = new EtcdKeyspace({ endpoints: [server.etcd.endpoint] });
      const prefix = freshPrefix();
      const size = 8 << 20;
      const names = Array.from({ length: 6 }, (_, i) => `${prefix}${i}`);
      const big = (i: number, salt: number): Uint8Array => {
        const value = new Uint8Array(size).fill(i);
        value[size - 1] = salt;
        return value;
      };
      const range = keyspace.range(prefix, bytes);
      using watcher = range.watch();
      expect((await watcher.getBatch()).changes).toEqual([]);
      for (const [i, name] of names.entries()) {
        await range.set(name, big(i, 1));
        const change = await watcher.get();
        expect(change).toMatchObject({ type: "put", key: name });
        expect(equal(change, big(i, 1))).toBe(true);
      }
      const listed = reader.range(prefix, bytes);
      using late = listed.watch();
      for (const { changes } of [await listed.read(), await late.getBatch()]) {
        expect(changes.map(({ key }) => key)).toEqual(names);
        for (const [i, change] of changes.entries()) expect(equal(change, big(i, 1))).toBe(true);
      }
      const last = keyspace.value(names[5]!, bytes);
      await last.update((value) => {
        const changed = value!.slice();
        changed[size - 1] = 2;
        return changed;
      });
      expect(equal(await late.get(), big(5, 2))).toBe(true);
      const read = await reader.value(names[5]!, bytes).read();
      expect(Buffer.compare(read!.value, big(5, 2))).toBe(0);
    });
  });
});

/** Events of one key for the watch numbered 7, of these revisions. */
function messageOf(fragment: boolean, revisions: readonly number[]): WatchMessage {
  return {
    header: { clusterId: "1", memberId: "1", raftTerm: 2, revision: 100 },
    watchId: 7,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: "",
    fragment,
    events: revisions.map((modRevision) => ({
      type: "put",
      key: "k",
      rawKey: undefined,
      value: raw("v"),
      createRevision: 1,
      modRevision,
      version: 1,
      lease: "0",
    })),
  };
}

/** Compared here: an assertion would print what differs. */
function equal(change: { readonly type: string; readonly value?: unknown }, value: Uint8Array): boolean {
  return change.type === "put" && Buffer.compare(change.value as Uint8Array, value) === 0;
}

function byKey([a]: unknown[], [b]: unknown[]): number {
  return (a as string) < (b as string) ? -1 : 1;
}
