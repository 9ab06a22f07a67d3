import { text } from "event-value";
import { EtcdKeyspace } from "event-value/etcd";
import { ours, type Question } from "../harness/answer.ts";
import { contest, type Contender } from "../harness/contest.ts";
import { BareClient, endOf, etcd3 } from "./peers.ts";
import { digest, fill, filled, startEtcd } from "./world.ts";

const prefix = "bench/";

const question: Question = {
  title: "How much memory does a range take that is watched?",
  about:
    "Bytes that a client holds for each of 100,000 keys with values of 100 bytes, which are among them: event-value with a " +
    "watcher that was given its first snapshot and has dropped it, the others with a map of the text they have read, which " +
    "nothing keeps up to date. Then a watcher that comes late must be given what the maps hold.",
  async ask({ quick }) {
    await using etcd = await startEtcd();
    const content = { keys: quick ? 5_000 : 100_000, bytes: 100 };
    await fill(etcd.endpoint, prefix, content);
    const results = await contest(
      import.meta.url,
      Object.keys(contenders),
      { endpoint: etcd.endpoint, keys: content.keys },
      { rounds: quick ? 1 : 3, expects: digest(filled(prefix, content)) },
    );
    const name = `${content.keys.toLocaleString("en")} keys: a key with its value`;
    return { cases: [results.case(name, "memory", { unit: "bytes", per: content.keys, target: { atMost: 500 } })] };
  },
};
export default question;

export const contenders: Readonly<Record<string, Contender>> = {
  async [ours]({ endpoint, keys }) {
    const range = new EtcdKeyspace({ endpoints: endpoint }).range(prefix, text);
    const watcher = range.watch();
    return {
      async run() {
        const { changes } = await watcher.getBatch();
        if (changes.length !== Number(keys)) throw new Error(`the snapshot has ${changes.length} keys`);
      },
      async outcome() {
        const { changes } = await range.watch().getBatch();
        return digest(new Map(changes.map((each) => [each.key, each.type === "put" ? each.value : each.type])));
      },
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
