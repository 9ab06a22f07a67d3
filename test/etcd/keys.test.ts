/** Keys in etcd before it was reached. What else they promise, K2 and K8 among it, is in test/conformance. */
import { describe, expect, test } from "vitest";
import { text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { codeOf, observe } from "../support/promises.ts";
import { startProxy } from "../support/proxy.ts";
import { freshPrefix, useEtcd } from "./store.ts";

const backlog = { backlogOnly: true };

describe.skipIf(!etcdAvailable)("a key in etcd", () => {
  const server = useEtcd();

  /** A keyspace, a key nobody has used, and what it is in the store. */
  function setUp(): { keyspace: EtcdKeyspace; key: string; stored: string } {
    const namespace = freshPrefix();
    const keyspace = new EtcdKeyspace({ endpoints: server.etcd.endpoint, namespace });
    return { keyspace, key: "key", stored: `${namespace}key` };
  }

  describe("before the store was reached", () => {
    test("K1 default: is not given before the server has said that the key is absent", async () => {
      const { keyspace: direct, key, stored } = setUp();
      await using _ = direct;
      await using proxy = await startProxy(server.etcd.port);
      await proxy.cut();
      await using keyspace = new EtcdKeyspace({ endpoints: proxy.endpoint, namespace: stored.slice(0, -key.length) });
      using status = keyspace.status.watch();
      using absent = keyspace.value(key, text, { default: "none" }).watch();
      using present = keyspace.value("present", text, { default: "none" }).watch();
      const gets = [absent.get(), present.get()];
      const outcomes = gets.map(observe);
      await status.get({ filter: (now) => now.state === "connecting" && now.cause !== undefined });
      expect(outcomes.map((outcome) => outcome().state)).toEqual(["pending", "pending"]);
      await direct.value("present", text).set("here");
      await proxy.heal();
      expect(await Promise.all(gets)).toEqual(["none", "here"]);
    });

    test("K1 backlogOnly: gives what is there, waits for the first contact with the store, and for nothing else", async () => {
      const { keyspace: direct, key, stored } = setUp();
      await using _ = direct;
      await server.store.put(stored, "here");
      await using proxy = await startProxy(server.etcd.port);
      await proxy.cut();
      await using keyspace = new EtcdKeyspace({ endpoints: proxy.endpoint, namespace: stored.slice(0, -key.length) });
      using status = keyspace.status.watch();
      using watcher = keyspace.value(key, text).watch();
      using absent = keyspace.value("absent", text).watch();
      const gets = [watcher.get(backlog), absent.get(backlog)] as const;
      const outcomes = gets.map(observe);
      await status.get({ filter: (now) => now.state === "connecting" && now.cause !== undefined });
      expect(outcomes.map((outcome) => outcome().state)).toEqual(["pending", "pending"]);
      await proxy.heal();
      expect(await gets[0]).toBe("here");
      expect(await codeOf(gets[1])).toBe("EV_BACKLOG_DONE");
      // Cut off again, both know that nothing is pending.
      await proxy.cut();
      expect(await codeOf(watcher.get(backlog))).toBe("EV_BACKLOG_DONE");
      expect(await codeOf(absent.get(backlog))).toBe("EV_BACKLOG_DONE");
    });
  });
});
