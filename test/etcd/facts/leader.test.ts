import { describe, expect, test, vi } from "vitest";
import { text } from "../../../src/index.ts";
import { parseEndpoints } from "../../../src/etcd/endpoint.ts";
import { EtcdKeyspace } from "../../../src/etcd/index.ts";
import { watch as watchMethod } from "../../../src/etcd/proto/methods.ts";
import { connect, type TransportError } from "../../../src/etcd/transport.ts";
import { startCluster } from "../../support/cluster.ts";
import { etcdAvailable, EtcdServer } from "../../support/etcd.ts";
import { freePorts } from "../../support/ports.ts";
import { raw, Store, useEtcd } from "../store.ts";

describe.skipIf(!etcdAvailable)("a member without a leader", () => {
  test("K9 ends a stream that asks for a leader, and leaves any other silent", async () => {
    await using cluster = await startCluster(3, { args: ["--heartbeat-interval=30", "--election-timeout=300"] });
    const [first, second, third] = cluster.members as [EtcdServer, EtcdServer, EtcdServer];
    const transport = connect(parseEndpoints(third.endpoint, false)[0]);
    try {
      /** What each stream was told, by whether it asked for a leader. */
      const told = { asking: [] as string[], indifferent: [] as string[] };
      const watch = (notes: string[], requireLeader: boolean | undefined): void => {
        const handlers = {
          message: ({ created }: { readonly created: boolean }) => void notes.push(created ? "created" : "told"),
          end: (error: TransportError) => void notes.push(error.details),
        };
        const value = { key: raw("key"), filters: [] };
        transport
          .duplex(watchMethod, handlers, { requireLeader })
          .send({ requestUnion: { $case: "createRequest", value } });
      };
      watch(told.asking, undefined);
      watch(told.indifferent, false);
      await vi.waitFor(() => expect([told.asking, told.indifferent]).toEqual([["created"], ["created"]]));
      await Promise.all([first.freeze(), second.freeze()]);
      try {
        await vi.waitFor(() => expect(told.asking).toEqual(["created", "etcdserver: no leader"]), { timeout: 8000 });
        expect(told.indifferent, "or the test proves nothing").toEqual(["created"]);
      } finally {
        first.thaw();
        second.thaw();
      }
    } finally {
      transport.close();
    }
  });
});

describe.skipIf(!etcdAvailable)("a learner", () => {
  const server = useEtcd();

  test("K9 among the endpoints, which refuses calls and streams, is passed over", async () => {
    const [port, peerPort] = (await freePorts(2)) as [number, number];
    const peer = `http://127.0.0.1:${peerPort}`;
    const name = "learner";
    const { members } = (await server.etcd.call("/v3/cluster/member/list")) as { members: { peerURLs: string[] }[] };
    const cluster = `${server.etcd.name}=${members[0]!.peerURLs[0]},${name}=${peer}`;
    const joining = [`--initial-cluster=${cluster}`, "--initial-cluster-state=existing"];
    const place = { name, port, peerPort, inbound: undefined };
    await using learner = new EtcdServer(process.env["EV_TEST_ETCD"]!, place, "joining", joining);
    const { member } = (await server.etcd.call("/v3/cluster/member/add", { peerURLs: [peer], isLearner: true })) as {
      member: { ID: string };
    };
    // Not waited for: a learner is never healthy.
    learner.launch();
    try {
      using store = new Store(learner.endpoint);
      await vi.waitFor(async () => expect(store.revision()).rejects.toThrow("not supported for learner"), {
        timeout: 10_000,
      });
      const endpoints = [learner.endpoint, server.etcd.endpoint];
      // Whichever is asked first.
      for (let round = 0; round < 6; round++) {
        await using keyspace = new EtcdKeyspace({ endpoints, namespace: `learner-${round}/` });
        const value = keyspace.value("key", text, { default: "none" });
        using watcher = value.watch();
        expect(await watcher.get()).toBe("none");
        const next = watcher.get();
        await value.set("1");
        expect(await next).toBe("1");
      }
    } finally {
      await server.etcd.call("/v3/cluster/member/remove", { ID: member.ID });
      await learner.kill();
    }
  });
});
