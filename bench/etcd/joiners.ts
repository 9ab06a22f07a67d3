import { text } from "event-value";
import { EtcdKeyspace } from "event-value/etcd";
import { ours, type Question } from "../harness/answer.ts";
import { type Contender, type Measured, Results, standby } from "../harness/contest.ts";
import { BareClient, endOf, etcd3 } from "./peers.ts";
import { fill, keyOf, startEtcd, valueOf } from "./world.ts";

const prefix = "bench/";
const bytes = 100;
/** How many of the others join, each of which reads all there is. */
const fewer = 5;

const question: Question = {
  title: "What do watchers cost that join a range which is watched already?",
  about:
    "1,000 watchers are opened at once on a range of 100,000 keys that is in sync, until each has its first change; or 100, " +
    "one after the other, until each has been given the whole state as a batch. With etcd3 and bare gRPC, which have no state to " +
    "share, each reads the range anew: 5 of them do, and their time and bytes are scaled up. The bytes are what the " +
    "server's metrics say it has sent: event-value must need less than a tenth of one reading. Each must be given " +
    "its first change, or all keys, of which a hundred are looked at.",
  async ask({ quick }) {
    await using etcd = await startEtcd();
    const keys = quick ? 5_000 : 100_000;
    await fill(etcd.endpoint, prefix, { keys, bytes });
    const cases = [];
    for (const [what, joiners] of [
      ["first change", quick ? 200 : 1_000],
      ["whole state", quick ? 20 : 100],
    ] as const) {
      const results = new Results();
      for (let round = 0; round < (quick ? 1 : 3); round++) {
        for (const name of Object.keys(contenders)) {
          const number = name === ours ? joiners : fewer;
          const job = { endpoint: etcd.endpoint, keys, joiners: number, whole: Number(what === "whole state") };
          const joining = await standby(import.meta.url, name, job);
          const before = await sentBytes(etcd.endpoint);
          const measured: Measured = await joining.go();
          const sent = (await sentBytes(etcd.endpoint)) - before;
          if (name === ours && sent > (keys * bytes) / 10) throw new Error(`the range was read again: ${sent} bytes`);
          const scaled = (figure: number): number[] => [(figure * joiners) / number];
          const figures = { time: scaled(measured.figures["time"]![0]!), sent: scaled(sent / 1000) };
          results.add(name, { outcome: measured.outcome, figures }, { right: number });
        }
      }
      const name = `${joiners.toLocaleString("en")} joiners, ${what}`;
      const target = { atMost: 2_000 };
      cases.push(
        results.case(`${name}: time in all`, "time", { unit: "ms", ...(what === "first change" && { target }) }),
        results.case(`${name}: sent by the server`, "sent", { unit: "kB" }),
      );
    }
    return { cases };
  },
};
export default question;

/** What the server has sent to all clients. */
async function sentBytes(endpoint: string): Promise<number> {
  const metrics = await (await fetch(`${endpoint}/metrics`)).text();
  return Number(/^etcd_network_client_grpc_sent_bytes_total (\S+)/m.exec(metrics)![1]);
}

/** A hundred of them: to look at all would take longer than to have them. */
function someOf<T>(entries: readonly T[]): T[] {
  return Array.from({ length: 100 }, (_, i) => entries[Math.floor((i / 99) * (entries.length - 1))]!);
}

/** Where the watcher begins is not promised; with whatever key, its value is known. */
function isRight(key: string, value: string): boolean {
  return value === valueOf(Number(key.slice(-7)), bytes);
}

export const contenders: Readonly<Record<string, Contender>> = {
  async [ours]({ endpoint, keys, joiners, whole }) {
    const range = new EtcdKeyspace({ endpoints: endpoint }).range(prefix, text);
    const first = range.watch();
    await first.getBatch();
    let right = 0;
    return {
      async run() {
        if (whole === 1) {
          for (let i = 0; i < Number(joiners); i++) {
            const { changes } = await range.watch().getBatch();
            const looked = someOf(changes).every((each) => each.type === "put" && isRight(each.key, each.value));
            if (looked && changes.length === Number(keys)) right++;
          }
          return;
        }
        await Promise.all(
          Array.from({ length: Number(joiners) }, async () => {
            const change = await range.watch().get();
            if (change.type === "put" && isRight(change.key, change.value)) right++;
          }),
        );
      },
      outcome: () => ({ right }),
    };
  },
  async etcd3({ endpoint, keys, joiners, whole }) {
    const client = await etcd3(endpoint);
    await client.get(keyOf(prefix, 0)).string();
    const read = async (): Promise<[string, string][]> =>
      Object.entries(await client.getAll().prefix(prefix).strings());
    return reading(read, Number(keys), Number(joiners), whole === 1);
  },
  async "bare gRPC"({ endpoint, keys, joiners, whole }) {
    const client = new BareClient(endpoint);
    await client.range({ key: Buffer.from(keyOf(prefix, 0)) });
    const read = async (): Promise<[string, string][]> => {
      const { kvs } = await client.range({ key: Buffer.from(prefix), rangeEnd: endOf(Buffer.from(prefix)) });
      return kvs.map(({ key, value }) => [Buffer.from(key).toString(), Buffer.from(value).toString()]);
    };
    return reading(read, Number(keys), Number(joiners), whole === 1);
  },
};

/** Each reads the range, one after the other, so that one reading is held at a time. */
function reading(
  read: () => Promise<[key: string, value: string][]>,
  keys: number,
  joiners: number,
  whole: boolean,
): ReturnType<Contender> {
  let right = 0;
  return Promise.resolve({
    async run() {
      for (let i = 0; i < joiners; i++) {
        const entries = await read();
        const looked = whole ? someOf(entries) : entries.slice(0, 1);
        if (entries.length === keys && looked.every(([key, value]) => isRight(key, value))) right++;
      }
    },
    outcome: () => ({ right }),
  });
}
