import { text } from "event-value";
import { EtcdKeyspace } from "event-value/etcd";
import { ours, type Question } from "../harness/answer.ts";
import { contest, type Contender } from "../harness/contest.ts";
import { BareClient, endOf, etcd3 } from "./peers.ts";
import { digest, fill, filled, startEtcd } from "./world.ts";

const prefix = "bench/";

const question: Question = {
  title: "What does the first snapshot of a range cost?",
  about:
    "A watcher is opened on 100,000 keys with values of 100 bytes, and puts all of them into a map as text: for etcd3 " +
    "and bare gRPC, which have no such watcher, it is a read of the range in one answer. Counted is the CPU time of the " +
    "client's process, a fresh one each time. The maps are held equal.",
  async ask({ quick }) {
    await using etcd = await startEtcd();
    const content = { keys: quick ? 20_000 : 100_000, bytes: 100 };
    await fill(etcd.endpoint, prefix, content);
    const results = await contest(
      import.meta.url,
      Object.keys(contenders),
      { endpoint: etcd.endpoint, keys: content.keys },
      {
        rounds: quick ? 1 : 7,
        expects: digest(filled(prefix, content)),
      },
    );
    const name = `${content.keys.toLocaleString("en")} keys`;
    return {
      cases: [
        results.case(`${name}: CPU time`, "cpu", { unit: "ms", target: { atMost: 0.5, than: "etcd3" } }),
        results.case(`${name}: time`, "time", { unit: "ms" }),
      ],
    };
  },
};
export default question;

export const contenders: Readonly<Record<string, Contender>> = {
  async [ours]({ endpoint, keys }) {
    const state = new Map<string, string>();
    const keyspace = new EtcdKeyspace({ endpoints: endpoint });
    return {
      async run() {
        const watcher = keyspace.range(prefix, text).watch();
        while (state.size < Number(keys)) {
          for (const change of (await watcher.getBatch()).changes) {
            if (change.type === "put") state.set(change.key, change.value);
          }
        }
      },
      outcome: () => digest(state),
    };
  },
  async etcd3({ endpoint }) {
    let state = new Map<string, string>();
    const client = await etcd3(endpoint);
    return {
      async run() {
        state = new Map(Object.entries(await client.getAll().prefix(prefix).strings()));
      },
      outcome: () => digest(state),
    };
  },
  async "bare gRPC"({ endpoint }) {
    const state = new Map<string, string>();
    const client = new BareClient(endpoint);
    return {
      async run() {
        const { kvs } = await client.range({ key: Buffer.from(prefix), rangeEnd: endOf(Buffer.from(prefix)) });
        for (const { key, value } of kvs) state.set(Buffer.from(key).toString(), Buffer.from(value).toString());
      },
      outcome: () => digest(state),
    };
  },
};
