import { text } from "event-value";
import { EtcdKeyspace } from "event-value/etcd";
import { ours, type Question } from "../harness/answer.ts";
import { contest, type Contender } from "../harness/contest.ts";
import { BareClient, etcd3, watchKey } from "./peers.ts";
import { fill, filled, keyOf, startEtcd } from "./world.ts";

const prefix = "bench/";

const question: Question = {
  title: "What does it cost to watch many keys, each by itself?",
  about:
    "A client reads each of 10,000 keys and watches it from that revision on, all at once; etcd3 and bare gRPC have all watches " +
    "on one stream as well. Counted is the time until all are watched, the CPU time of the client's process, and by how much " +
    "its memory has grown. Each value read must be right, and then each key is changed: each watch must tell of it.",
  async ask({ quick }) {
    await using etcd = await startEtcd();
    const content = { keys: quick ? 1_000 : 10_000, bytes: 100 };
    await fill(etcd.endpoint, prefix, content);
    const results = await contest(
      import.meta.url,
      Object.keys(contenders),
      { endpoint: etcd.endpoint, keys: content.keys },
      {
        rounds: quick ? 1 : 3,
        expects: { values: content.keys, changes: content.keys },
      },
    );
    const name = `${content.keys.toLocaleString("en")} keys`;
    return {
      cases: [
        results.case(`${name}: time until all are watched`, "time", {
          unit: "ms",
          target: { atMost: 0.6, than: "etcd3" },
        }),
        results.case(`${name}: CPU time`, "cpu", { unit: "ms" }),
        results.case(`${name}: memory a key`, "memory", {
          unit: "bytes",
          per: content.keys,
          target: { atMost: 1, than: "etcd3" },
        }),
      ],
    };
  },
};
export default question;

/** Changes each key once, and counts how many of the changes are told. */
async function changeAll(endpoint: string, keys: number, told: () => number): Promise<number> {
  const client = new BareClient(endpoint);
  for (let i = 0; i < keys; i += 100) {
    await client.putAll(Array.from({ length: 100 }, (_, j) => [keyOf(prefix, i + j), Buffer.from("changed")]));
  }
  const deadline = performance.now() + 30_000;
  while (told() < keys && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  // Puts things back, for who comes next.
  await fill(endpoint, prefix, { keys, bytes: 100 });
  return told();
}

export const contenders: Readonly<Record<string, Contender>> = {
  async [ours]({ endpoint, keys }) {
    const keyspace = new EtcdKeyspace({ endpoints: endpoint });
    let values = 0;
    let changes = 0;
    const expected = [...filled(prefix, { keys: Number(keys), bytes: 100 })];
    const watchers: { get(): Promise<string | undefined> }[] = [];
    return {
      async run() {
        await Promise.all(
          expected.map(async ([key, value]) => {
            const watcher = keyspace.value(key, text).watch();
            watchers.push(watcher);
            if ((await watcher.get()) === value) values++;
          }),
        );
      },
      async outcome() {
        for (const watcher of watchers) {
          void watcher.get().then((value) => {
            if (value === "changed") changes++;
          });
        }
        await changeAll(endpoint, Number(keys), () => changes);
        return { values, changes };
      },
    };
  },
  async etcd3({ endpoint, keys }) {
    const client = await etcd3(endpoint);
    let values = 0;
    let changes = 0;
    const expected = [...filled(prefix, { keys: Number(keys), bytes: 100 })];
    const watchers: unknown[] = [];
    return {
      async run() {
        await Promise.all(
          expected.map(async ([key, value]) => {
            const { header, kvs } = await client.get(key).exec();
            if (kvs[0]!.value.toString() === value) values++;
            const watcher = await client
              .watch()
              .key(key)
              .startRevision(String(Number(header.revision) + 1))
              .create();
            watcher.on("put", ({ value }) => {
              if (value.toString() === "changed") changes++;
            });
            watchers.push(watcher);
          }),
        );
      },
      async outcome() {
        await changeAll(endpoint, Number(keys), () => changes);
        return { values, changes };
      },
    };
  },
  async "bare gRPC"({ endpoint, keys }) {
    const client = new BareClient(endpoint);
    let values = 0;
    let changes = 0;
    let created = 0;
    const expected = [...filled(prefix, { keys: Number(keys), bytes: 100 })];
    return {
      async run() {
        let all!: () => void;
        const watched = new Promise<void>((resolve) => {
          all = resolve;
        });
        const stream = client.watch((response) => {
          if (response.created && ++created === expected.length) all();
          for (const { kv } of response.events) if (Buffer.from(kv!.value).toString() === "changed") changes++;
        });
        await Promise.all(
          expected.map(async ([key, value]) => {
            const { header, kvs } = await client.range({ key: Buffer.from(key) });
            if (Buffer.from(kvs[0]!.value).toString() === value) values++;
            stream.write(watchKey(key, header!.revision + 1));
          }),
        );
        await watched;
      },
      async outcome() {
        await changeAll(endpoint, Number(keys), () => changes);
        return { values, changes };
      },
    };
  },
};
