import { describe, expect, test, vi } from "vitest";
import { text } from "../../../src/index.ts";
import { EtcdKeyspace } from "../../../src/etcd/index.ts";
import { etcdAvailable } from "../../support/etcd.ts";
import { startProxy } from "../../support/proxy.ts";
import { freshPrefix, useEtcd } from "../store.ts";

describe.skipIf(!etcdAvailable)("messages of more than 4 MB, which is what gRPC takes by default", () => {
  /** Takes values that no message below the default limit can hold. */
  const server = useEtcd({ args: ["--max-request-bytes=12582912"] });

  test("K11 arrive: one value of 6 MB by a read, by a snapshot, by the watch, and by a resume", async () => {
    const prefix = freshPrefix();
    await using proxy = await startProxy(server.etcd.port);
    await using keyspace = new EtcdKeyspace({ endpoints: proxy.endpoint, namespace: prefix });
    const value = keyspace.value("key", text);
    const big = (letter: string): string => letter.repeat(6_000_000);
    const signal = AbortSignal.timeout(15_000);
    await value.set(big("a"), { signal });
    expect((await value.read({ signal }))?.value).toBe(big("a"));
    using watcher = value.watch();
    using all = keyspace.range("", text).watch();
    expect(await watcher.get({ signal })).toBe(big("a"));
    expect((await all.getBatch({ signal })).changes).toHaveLength(1);
    await value.set(big("b"), { signal });
    expect(await watcher.get({ signal })).toBe(big("b"));
    await all.getBatch({ signal });
    await proxy.cut();
    await vi.waitFor(() => expect(proxy.connections).toBe(0));
    // What is resumed comes in one response, of many fragments.
    for (const key of ["key", "1", "2", "3"]) await server.store.put(prefix + key, big(key.slice(0, 1)));
    await proxy.heal();
    expect(await watcher.get({ signal })).toBe(big("k"));
    const seen = new Set<string>();
    while (seen.size < 4) for (const { key } of (await all.getBatch({ signal })).changes) seen.add(key);
  });
});
