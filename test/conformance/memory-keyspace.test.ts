/** What every keyspace promises, of those in memory. */
import { bytes, MemoryKeyspace, put, remove } from "../../src/index.ts";
import { TestKeyspace } from "../../src/testing/index.ts";
import { type Held, type RawOperation, type RawStore, utf8 } from "./keyspace-backend.ts";
import { describeKeyspace } from "./keyspace.ts";

const decoder = new TextDecoder();

/** The store of `sharing`, by a client of its own. */
function storeOf(sharing: MemoryKeyspace, namespace: string): RawStore {
  const client = new MemoryKeyspace({ sharing, namespace });
  const of = (key: string) => client.value(key, bytes);
  const encode = (value: string | Uint8Array): Uint8Array => (typeof value === "string" ? utf8(value) : value);
  return {
    put: async (key, value) => (await of(key).set(encode(value))).revision,
    delete: async (key) => (await of(key).delete()).revision,
    async txn(operations) {
      const step = ({ key, value }: RawOperation) =>
        value === undefined ? remove(of(key)) : put(of(key), utf8(value));
      return (await client.transaction(operations.map(step))).revision;
    },
    async get(key) {
      const found = await of(key).read();
      return found && { ...found, value: decoder.decode(found.value) };
    },
    async all() {
      const held = new Map<string, Held>();
      for (const change of (await client.range("", bytes).read()).changes) {
        if (change.type !== "put") continue;
        const { key, value, revision, createRevision } = change;
        held.set(key, { value: decoder.decode(value), revision, createRevision });
      }
      return held;
    },
    revision: async () => (await client.transaction([])).revision,
  };
}

function describeMemory(name: string, namespace: string, make: () => MemoryKeyspace): void {
  describeKeyspace({
    name,
    async open() {
      const keyspace = make();
      const opened = [keyspace];
      return {
        keyspace,
        store: storeOf(keyspace, namespace),
        another(within = "") {
          const other = new MemoryKeyspace({ sharing: keyspace, namespace: namespace + within });
          opened.push(other);
          return other;
        },
        async [Symbol.asyncDispose]() {
          await Promise.all(opened.map((own) => own.close()));
        },
      };
    },
  });
}

const namespace = "a/namespace: ";

describeMemory("MemoryKeyspace", "", () => new MemoryKeyspace());
describeMemory("MemoryKeyspace with a namespace", namespace, () => new MemoryKeyspace({ namespace }));
describeMemory("TestKeyspace", namespace, () => new TestKeyspace({ namespace }));
