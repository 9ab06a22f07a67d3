import { afterEach, describe, expect, test } from "vitest";
import { type Keyspace, MemoryKeyspace, text } from "event-value";
import { EtcdKeyspace } from "event-value/etcd";
import { openKeyspace, type OpenOptions } from "event-value/open";

const opened: Keyspace[] = [];
afterEach(async () => {
  for (const keyspace of opened.splice(0)) await keyspace.close();
});

async function open(url: string, options?: OpenOptions): Promise<Keyspace> {
  const keyspace = await openKeyspace(url, options);
  opened.push(keyspace);
  return keyspace;
}

describe("openKeyspace: memory", () => {
  test("memory: is a new store each time", async () => {
    const [one, two] = [await open("memory:"), await open("memory:")];
    expect(one).toBeInstanceOf(MemoryKeyspace);
    await one.value("a", text).set("x");
    expect(await two.value("a", text).read()).toBeUndefined();
  });

  test("memory:name is one store for the process, which outlives who opened it", async () => {
    const one = await open("memory:shared");
    const two = await open("memory:shared");
    const other = await open("memory:another");
    using watcher = two.value("a", text).watch();
    await one.value("a", text).set("x");
    expect(await watcher.get()).toBe("x");
    expect(await other.value("a", text).read()).toBeUndefined();
    await one.close();
    await two.close();
    expect(await (await open("memory:shared")).value("a", text).read()).toMatchObject({ value: "x" });
  });

  test("a namespace is put before keys and taken off again", async () => {
    const inner = await open("memory:named", { namespace: "app/" });
    const outer = await open("memory:named");
    await inner.range("", text).set("b", "x");
    expect([...(await outer.range("app/", text).live())]).toEqual([["app/b", "x"]]);
    expect([...(await inner.range("", text).live())]).toEqual([["b", "x"]]);
    using watcher = inner.range({ start: "a", end: "c" }, text).watch();
    expect(await watcher.getBatch()).toMatchObject({ changes: [{ key: "b" }] });
    await outer.value("app/b", text).delete();
    expect(await watcher.get()).toMatchObject({ type: "delete", key: "b" });
  });
});

describe("openKeyspace: etcd", () => {
  test.each([
    ["http://127.0.0.1:1", undefined],
    ["https://db1:2379,db2:2379", undefined],
    ["http://[::1]:2379/", undefined],
    ["http://db1:2379,http://db2:2379", undefined],
    ["http://db1:2379/,http://db2:2379/", undefined],
    ["etcd://db1,db2", undefined],
    ["etcd://db1/app%20one/", undefined],
    ["etcd://me%40home@db1,db2:2380/app/", { password: "secret" }],
    ["ETCD://db1", { staleAfterMs: 1000, namespace: "x/" }],
  ])("opens %s", async (url, options) => {
    expect(await open(url, options)).toBeInstanceOf(EtcdKeyspace);
  });

  test.each([
    ["", undefined],
    ["db1:2379", undefined],
    ["redis://db1", undefined],
    ["memory://name", undefined],
    ["etcd:", undefined],
    ["etcd://", undefined],
    ["etcd://me@db1", undefined],
    ["etcd://db1", { password: "secret" }],
    ["etcd://me:secret@db1", undefined],
    ["etcd://db1/%zz", undefined],
    ["etcd://db1/app?timeout=5", undefined],
    ["http://db1", { password: "secret" }],
    ["etcd://db1/a", { namespace: "b" }],
    ["etcd://db1", { staleAfter: 1 } as never],
    [7 as never, undefined],
  ])("refuses %j at the call", (url, options) => {
    expect(() => openKeyspace(url, options)).toThrow(TypeError);
  });

  test.each([
    ["etcd://db1:port"],
    ["https://db1,:2379"],
    ["https://db1,http://db2"],
    ["http:///path"],
    ["http://db1/v3"],
    ["http://db1/?timeout=5"],
    ["http://me@db1"],
  ])("refuses %j, when the backend is loaded", async (url) => {
    await expect(openKeyspace(url)).rejects.toThrow(TypeError);
  });

  test("does not show a password that stands in a URL", () => {
    expect(() => openKeyspace("etcd://me:secret@db1")).toThrow(/^(?!.*secret).*password/);
  });
});
