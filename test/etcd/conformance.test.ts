/** What every keyspace promises, of those in etcd. */
import { describe } from "vitest";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { describeKeyspace } from "../conformance/keyspace.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { freshPrefix, useEtcd } from "./store.ts";

describe.skipIf(!etcdAvailable)("in etcd", () => {
  const server = useEtcd();

  describeKeyspace({
    name: "EtcdKeyspace",
    async open() {
      const namespace = freshPrefix();
      const opened: EtcdKeyspace[] = [];
      const another = (within = ""): EtcdKeyspace => {
        const keyspace = new EtcdKeyspace({ endpoints: server.etcd.endpoint, namespace: namespace + within });
        opened.push(keyspace);
        return keyspace;
      };
      const { store } = server;
      return {
        keyspace: another(),
        another,
        store: {
          put: (key, value) => store.put(namespace + key, value),
          delete: (key) => store.delete(namespace + key),
          txn: (operations) =>
            store.txn(operations.map((operation) => ({ ...operation, key: namespace + operation.key }))),
          get: (key) => store.get(namespace + key),
          async all() {
            const held = await store.all(namespace);
            return new Map([...held].map(([key, known]) => [key.slice(namespace.length), known]));
          },
          revision: () => store.revision(),
        },
        async [Symbol.asyncDispose]() {
          await Promise.all(opened.map((keyspace) => keyspace.close()));
        },
      };
    },
  });
});
