import { describe, expect, test, vi } from "vitest";
import { text } from "../../../src/index.ts";
import { EtcdKeyspace } from "../../../src/etcd/index.ts";
import { decodeWatch } from "../../../src/etcd/proto/hot-decoders.ts";
import { etcdAvailable } from "../../support/etcd.ts";
import { startProxy } from "../../support/proxy.ts";
import { freshPrefix, useEtcd } from "../store.ts";

// The real thing; a test looks at what it has read.
vi.mock("../../../src/etcd/proto/hot-decoders.ts", { spy: true });

describe.skipIf(!etcdAvailable)("progress in etcd", () => {
  const server = useEtcd({ args: ["--experimental-watch-progress-notify-interval=1s"] });

  test("K5 a quiet watch is kept resumable by progress notifications: no compaction makes it read its range anew", async () => {
    const prefix = freshPrefix();
    await using proxy = await startProxy(server.etcd.port);
    // Makes no read of its own for as long as the test takes.
    await using keyspace = new EtcdKeyspace({ endpoints: proxy.endpoint, namespace: prefix, staleAfterMs: 600_000 });
    const known = await server.store.put(`${prefix}key`, "1");
    using watcher = keyspace.range("", text).watch();
    expect((await watcher.getBatch()).revision).toBe(known);
    let elsewhere = 0;
    for (let i = 0; i < 20; i++) elsewhere = await server.store.put("elsewhere", `${i}`);
    await vi.waitFor(
      () => {
        const messages = vi
          .mocked(decodeWatch)
          .mock.results.map((result) => result.value as ReturnType<typeof decodeWatch>);
        const progress = messages.filter(({ created, events }) => !created && events.length === 0);
        expect(progress.map(({ header }) => header.revision)).toContain(elsewhere);
      },
      { timeout: 10_000, interval: 20 },
    );
    await proxy.cut();
    await server.store.compact(elsewhere);
    const reads = await server.store.calls("Range");
    await server.store.put(`${prefix}key`, "2");
    await proxy.heal();
    expect(await watcher.getBatch()).toMatchObject({ type: "update", changes: [{ key: "key", value: "2" }] });
    // One asks whether the revision can be resumed from; another would be the listing.
    expect(await server.store.calls("Range")).toBe(reads + 1);
  });
});
