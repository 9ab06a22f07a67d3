import { text } from "event-value";
import { EtcdKeyspace } from "event-value/etcd";
import { figure, ours, type Question } from "../harness/answer.ts";
import { contest, type Contender, type Prepared } from "../harness/contest.ts";
import { BareClient, etcd3, watchKey } from "./peers.ts";
import { fill, keyOf, startEtcd, valueOf } from "./world.ts";

const key = keyOf("bench/", 0);

const question: Question = {
  title: "How long from a put to its delivery?",
  about:
    "One key with one watcher that waits: a put is made by the bare gRPC library, the same for all, in the same process, and the " +
    "time taken until the watcher tells the value; then the next one is put. Of the puts of a process the middle and the " +
    "slowest of a hundred are told. Each put must be told, with its value.",
  async ask({ quick }) {
    await using etcd = await startEtcd();
    await fill(etcd.endpoint, "bench/", { keys: 1, bytes: 100 });
    const puts = quick ? 300 : 2_000;
    const results = await contest(
      import.meta.url,
      Object.keys(contenders),
      { endpoint: etcd.endpoint, puts },
      {
        rounds: quick ? 1 : 5,
        expects: { delivered: puts },
      },
    );
    return {
      cases: [
        results.case("one watcher, one put at a time: p50", "p50", {
          unit: "us",
          target: { atMost: 1.2, than: "bare gRPC" },
        }),
        results.case("one watcher, one put at a time: p99", "p99", { unit: "us" }),
      ],
    };
  },
};
export default question;

/** Puts one value after the other, by a client that is the same for all, and times until each is told. */
function prepare(endpoint: string, puts: number, next: () => Promise<string | undefined>): Prepared {
  const client = new BareClient(endpoint);
  const times: number[] = [];
  let delivered = 0;
  return {
    async run() {
      for (let i = -100; i < puts; i++) {
        const value = valueOf(i, 100);
        const told = next();
        const start = performance.now();
        const put = client.put(key, Buffer.from(value));
        if ((await told) === value && i >= 0) {
          times.push((performance.now() - start) * 1000);
          delivered++;
        }
        await put;
      }
    },
    outcome: () => ({ delivered }),
    figures: () => {
      const sorted = times.sort((a, b) => a - b);
      return { p50: [figure(sorted).median], p99: [sorted[Math.floor(sorted.length * 0.99)]!] };
    },
  };
}

/** What a stream tells, one at a time. */
class Slot {
  #told: (value: string) => void = () => {};

  readonly next = (): Promise<string> =>
    new Promise((resolve) => {
      this.#told = resolve;
    });

  tell(value: Uint8Array): void {
    this.#told(Buffer.from(value).toString());
  }
}

export const contenders: Readonly<Record<string, Contender>> = {
  async [ours]({ endpoint, puts }) {
    const watcher = new EtcdKeyspace({ endpoints: endpoint }).value(key, text).watch();
    await watcher.get();
    return prepare(endpoint, Number(puts), () => watcher.get());
  },
  async etcd3({ endpoint, puts }) {
    const slot = new Slot();
    const watcher = await (await etcd3(endpoint)).watch().key(key).create();
    watcher.on("put", ({ value }) => slot.tell(value));
    return prepare(endpoint, Number(puts), slot.next);
  },
  async "bare gRPC"({ endpoint, puts }) {
    const slot = new Slot();
    await new Promise<void>((created) => {
      const stream = new BareClient(endpoint).watch((response) => {
        if (response.created) created();
        for (const { kv } of response.events) slot.tell(kv!.value);
      });
      stream.write(watchKey(key, 0));
    });
    return prepare(endpoint, Number(puts), slot.next);
  },
};
