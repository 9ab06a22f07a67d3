import { text } from "event-value";
import { EtcdKeyspace } from "event-value/etcd";
import { ours, type Question } from "../harness/answer.ts";
import { contest, type Contender, type Job, type Prepared } from "../harness/contest.ts";
import { BareClient, etcd3 } from "./peers.ts";
import { keyOf, startEtcd, valueOf } from "./world.ts";

const prefix = "bench/";

const question: Question = {
  title: "What do single writes and reads cost?",
  about:
    "64 callers write or read a key of their own, one call after the other; or a single one does. event-value makes reads of " +
    "single keys that are asked for in the same turn of the event loop as one transaction: that is why 64 at once are far " +
    "below the price of a call, and there is nothing to it where they come one after the other. Calls of bare gRPC have a " +
    "deadline of 10 s, as has whatever is to outlive a silent server. Each read must give what was written last, and so must " +
    "all keys in the end.",
  async ask({ quick }) {
    await using etcd = await startEtcd();
    const cases = [];
    const kinds = [
      ["set", 64],
      ["set", 1],
      ["read", 64],
      ["read", 1],
    ] as const;
    for (const [what, atOnce] of kinds.filter(([, atOnce]) => !quick || atOnce > 1)) {
      const calls = (quick ? 100 : 1_000) * (atOnce > 1 ? 4 : 1);
      const results = await contest(
        import.meta.url,
        Object.keys(contenders),
        { endpoint: etcd.endpoint, what, calls, atOnce },
        {
          rounds: quick ? 1 : 3,
          expects: { done: calls, last: atOnce },
        },
      );
      const name = `${what}, ${atOnce > 1 ? `${atOnce} at once` : "one after the other"}`;
      cases.push(
        results.case(`${name}: time each`, "time", {
          unit: "us",
          per: calls / 1000,
          target: { atMost: 1.1, than: "bare gRPC" },
        }),
        results.case(`${name}: CPU time each`, "cpu", { unit: "us", per: calls / 1000 }),
      );
    }
    return { cases };
  },
};
export default question;

interface Calls {
  readonly set: (key: string, value: string) => Promise<unknown>;
  readonly read: (key: string) => Promise<string | undefined>;
}

async function prepare({ set, read }: Calls, job: Job): Promise<Prepared> {
  const calls = Number(job["calls"]);
  const atOnce = Number(job["atOnce"]);
  const each = async (work: (caller: number, call: number) => Promise<unknown>, calls: number): Promise<void> => {
    let begun = 0;
    await Promise.all(
      Array.from({ length: atOnce }, async (_, caller) => {
        while (begun < calls) await work(caller, begun++);
      }),
    );
  };
  let done = 0;
  const newest = Array.from({ length: atOnce }, (_, i) => valueOf(i, 100));
  const setOne = async (caller: number, call: number): Promise<void> => {
    const value = valueOf(call, 100);
    newest[caller] = value;
    await set(keyOf(prefix, caller), value);
    done++;
  };
  const readOne = async (caller: number): Promise<void> => {
    if ((await read(keyOf(prefix, caller))) === newest[caller]) done++;
  };
  await each(setOne, 128);
  await each(readOne, 128);
  done = 0;
  return {
    run: () => each(job["what"] === "set" ? setOne : readOne, calls),
    async outcome() {
      const values = await Promise.all(newest.map((_, i) => read(keyOf(prefix, i))));
      return { done, last: values.filter((value, i) => value === newest[i]).length };
    },
  };
}

export const contenders: Readonly<Record<string, Contender>> = {
  [ours](job) {
    const keyspace = new EtcdKeyspace({ endpoints: job.endpoint });
    const values = Array.from({ length: Number(job["atOnce"]) }, (_, i) => keyspace.value(keyOf(prefix, i), text));
    const of = (key: string): (typeof values)[number] => values[Number(key.slice(-7))]!;
    return prepare(
      { set: (key, value) => of(key).set(value), read: async (key) => (await of(key).read())?.value },
      job,
    );
  },
  async etcd3(job) {
    const client = await etcd3(job.endpoint);
    return prepare(
      {
        set: (key, value) => client.put(key).value(value).exec(),
        read: async (key) => (await client.get(key).string()) ?? undefined,
      },
      job,
    );
  },
  "bare gRPC"(job) {
    const client = new BareClient(job.endpoint);
    return prepare(
      {
        set: (key, value) => client.put(key, Buffer.from(value)),
        read: async (key) => {
          const { kvs } = await client.range({ key: Buffer.from(key) });
          return kvs[0] && Buffer.from(kvs[0].value).toString();
        },
      },
      job,
    );
  },
};
