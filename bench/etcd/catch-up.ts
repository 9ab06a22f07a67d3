import { text } from "event-value";
import { EtcdKeyspace } from "event-value/etcd";
import { startProxy } from "../../test/support/proxy.ts";
import { ours, type Question } from "../harness/answer.ts";
import { type Contender, type Job, Results, standby } from "../harness/contest.ts";
import { BareClient, etcd3, watchPrefix } from "./peers.ts";
import { digest, fill, filled, startEtcd } from "./world.ts";

const prefix = "bench/";

const question: Question = {
  title: "What does it cost to catch up with what was missed?",
  about:
    "A client that knows 1,000 keys is cut off while each of them is written 1,000 times, and then follows the range up to the " +
    "last write. event-value has its connection cut by a proxy and finds back by itself, which is counted; etcd3 and bare " +
    "gRPC, which take no part in that, open a watch at the revision they would have kept. All must end with the same map.",
  async ask({ quick }) {
    await using etcd = await startEtcd();
    const first = { keys: 1000, bytes: 100 };
    // So few a transaction that a thousand revisions, which the server sends at a time, are no message in parts.
    const missed = { ...first, times: quick ? 20 : 1000, each: 8 };
    const results = new Results();
    const proxy = await startProxy(etcd.port);
    for (let round = 0; round < (quick ? 1 : 2); round++) {
      const revision = await fill(etcd.endpoint, prefix, first);
      const job: Job = { endpoint: etcd.endpoint, revision, newest: 1000 * (missed.times - 1) };
      const watching = await standby(import.meta.url, ours, { ...job, endpoint: proxy.endpoint });
      await proxy.cut();
      await fill(etcd.endpoint, prefix, missed);
      await proxy.heal();
      const expected = digest(filled(prefix, missed));
      results.add(ours, await watching.go(), expected);
      for (const name of ["etcd3", "bare gRPC"]) {
        const watching = await standby(import.meta.url, name, job);
        results.add(name, await watching.go(), expected);
      }
    }
    const events = 1000 * missed.times;
    const name = `${events.toLocaleString("en")} events over 1,000 keys`;
    return {
      cases: [
        results.case(`${name}: CPU time`, "cpu", { unit: "ms", target: { atMost: 0.3, than: "etcd3" } }),
        results.case(`${name}: CPU time, beside the bare stream`, "cpu", {
          unit: "ms",
          target: { atMost: 1.5, than: "bare gRPC" },
        }),
        results.case(`${name}: time`, "time", { unit: "ms" }),
      ],
    };
  },
};
export default question;

/** What a contender makes of the range; done when it knows the newest value of every key. */
class State {
  readonly values = new Map<string, string>();
  readonly #newest: number;
  #known = 0;

  /** The newest values have numbers from `newest` on. */
  constructor(newest: string | number | undefined) {
    this.#newest = Number(newest);
  }

  get done(): boolean {
    return this.#known === 1000;
  }

  take(key: string, value: string): void {
    this.values.set(key, value);
    if (Number.parseInt(value, 10) >= this.#newest) this.#known++;
  }
}

export const contenders: Readonly<Record<string, Contender>> = {
  async [ours]({ endpoint, newest }) {
    const state = new State(newest);
    const keyspace = new EtcdKeyspace({ endpoints: endpoint });
    const watcher = keyspace.range(prefix, text).watch();
    const take = async (): Promise<void> => {
      for (const change of (await watcher.getBatch()).changes) {
        if (change.type === "put") state.take(change.key, change.value);
      }
    };
    await take();
    return {
      async run() {
        while (!state.done) await take();
      },
      outcome: () => digest(state.values),
    };
  },
  async etcd3({ endpoint, revision, newest }) {
    const state = new State(newest);
    const client = await etcd3(endpoint);
    return {
      async run() {
        const watcher = await client
          .watch()
          .prefix(prefix)
          .startRevision(String(Number(revision) + 1))
          .create();
        await new Promise<void>((resolve) => {
          watcher.on("put", ({ key, value }) => {
            state.take(key.toString(), value.toString());
            if (state.done) resolve();
          });
        });
      },
      outcome: () => digest(state.values),
    };
  },
  async "bare gRPC"({ endpoint, revision, newest }) {
    const state = new State(newest);
    const client = new BareClient(endpoint);
    return {
      run: () =>
        new Promise<void>((resolve) => {
          const stream = client.watch(({ events }) => {
            for (const { kv } of events) state.take(Buffer.from(kv!.key).toString(), Buffer.from(kv!.value).toString());
            if (state.done) resolve();
          });
          stream.write(watchPrefix(prefix, Number(revision) + 1));
        }),
      outcome: () => digest(state.values),
    };
  },
};
