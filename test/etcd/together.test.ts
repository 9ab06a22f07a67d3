import { describe, expect, test } from "vitest";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { text } from "../../src/index.ts";
import { etcdAvailable, startEtcd } from "../support/etcd.ts";
import { startProxy } from "../support/proxy.ts";
import { codeOf } from "../support/promises.ts";
import { enableAuth } from "../support/users.ts";

describe.skipIf(!etcdAvailable)("many keys of a keyspace", () => {
  /** How many calls of each kind a server has handled. */
  async function callsOf(endpoint: string): Promise<{ Range: number; Txn: number }> {
    const metrics = await (await fetch(`${endpoint}/metrics`)).text();
    const calls = (method: string): number => {
      const found = metrics.matchAll(
        new RegExp(`^grpc_server_handled_total{.*grpc_method="${method}".*} (\\d+)`, "gm"),
      );
      return [...found].reduce((sum, [, count]) => sum + Number(count), 0);
    };
    return { Range: calls("Range"), Txn: calls("Txn") };
  }

  test("K1 are watched with few calls, and resumed with few; every change is told", async () => {
    await using etcd = await startEtcd();
    const proxy = await startProxy(etcd.port);
    const names = Array.from({ length: 2_000 }, (_, i) => `many/${i}`);
    await using writer = new EtcdKeyspace({ endpoints: etcd.endpoint });
    await Promise.all(names.map((name) => writer.value(name, text).set("first")));
    await using keyspace = new EtcdKeyspace({ endpoints: proxy.endpoint });
    const before = await callsOf(etcd.endpoint);
    const watchers = names.map((name) => keyspace.value(name, text).watch());
    expect(new Set(await Promise.all(watchers.map((watcher) => watcher.get())))).toEqual(new Set(["first"]));
    const begun = await callsOf(etcd.endpoint);
    expect(begun.Range - before.Range).toBeLessThan(10);
    expect(begun.Txn - before.Txn).toBeLessThan(30);

    const told = watchers.map((watcher) => watcher.get());
    await proxy.cut();
    await Promise.all(names.map((name) => writer.value(name, text).set("second")));
    await proxy.heal();
    expect(new Set(await Promise.all(told))).toEqual(new Set(["second"]));
    const resumed = await callsOf(etcd.endpoint);
    expect(resumed.Range - begun.Range).toBeLessThan(100);
    await proxy.cut();
  });

  test("K2 a key that the user may not read is refused by itself", async () => {
    await using etcd = await startEtcd({ args: ["--bcrypt-cost=4"] });
    await enableAuth(etcd, [
      { username: "root", password: "root" },
      { username: "reader", password: "reader", may: { what: "READ", start: "open/", end: "open0" } },
    ]);
    const root = { username: "root", password: "root" };
    await using writer = new EtcdKeyspace({ endpoints: etcd.endpoint, auth: root });
    await writer.value("open/a", text).set("a");
    await writer.value("open/b", text).set("b");
    await using keyspace = new EtcdKeyspace({
      endpoints: etcd.endpoint,
      auth: { username: "reader", password: "reader" },
    });
    const [a, secret, b] = await Promise.all([
      keyspace.value("open/a", text).watch().get(),
      codeOf(keyspace.value("secret", text).watch().get()),
      keyspace
        .value("open/b", text)
        .read()
        .then((read) => read?.value),
    ]);
    expect([a, secret, b]).toEqual(["a", "EV_PERMISSION_DENIED", "b"]);
  });
});
