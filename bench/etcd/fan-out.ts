import { text } from "event-value";
import { EtcdKeyspace } from "event-value/etcd";
import { type Case, figure, ours, type Question } from "../harness/answer.ts";
import { hop } from "../harness/compare.ts";
import { type Contender, type Job, type Prepared, Results, standby } from "../harness/contest.ts";
import { BareClient, etcd3, watchPrefix } from "./peers.ts";
import { cpuOf, type EtcdServer, fill, keyOf, startEtcd, valueOf } from "./world.ts";

const prefix = "bench/";
const key = keyOf(prefix, 0);
/** Beside the range: written when all updates are made. */
const endKey = "end";
const names = [ours, "etcd3", "bare gRPC"] as const;

const question: Question = {
  title: "What does an update of a range cost with many watchers of it?",
  about:
    "One client has so many watchers of a range, in which a key is put again and again. With etcd3 each watcher is a watch of " +
    "its own, all on one stream; for bare gRPC it is one watch and so many callbacks, which costs least. At first the " +
    "watchers of event-value do not wait, and those of the others, which cannot help being called, count: counted is CPU time " +
    "of the server, with that of the put, and of the client. Then all of them wait, and the time that an update of 10,000 takes " +
    "over one of a single one is divided by the deliveries, once the optimiser is done. Each watcher must get the last value, and each that waits all values.",
  async ask({ quick }) {
    await using etcd = await startEtcd();
    await fill(etcd.endpoint, prefix, { keys: 100, bytes: 100 });
    const client = new BareClient(etcd.endpoint);
    await client.put(endKey, Buffer.from("begin"));
    const cases: Case[] = [];
    let single: readonly number[] = [];
    // Of etcd3 so many watches take seconds to be made.
    const most = quick ? 1_000 : 10_000;
    for (const watchers of quick ? [1, most] : [1, 100, most]) {
      const results = new Results();
      for (let round = 0; round < (quick ? 1 : 3); round++) {
        for (const name of names) {
          results.add(name, await updated(etcd, client, name, watchers, quick), { newest: watchers });
        }
      }
      const with_ = `${watchers.toLocaleString("en")} ${watchers === 1 ? "watcher" : "watchers"}`;
      cases.push(results.case(`${with_}: server's CPU time an update`, "server", { unit: "us" }));
      const ingest = results.case(`${with_}: client's CPU time an update`, "client", { unit: "us" });
      const { samples } = ingest.contenders[0]!;
      if (watchers === 1) single = samples;
      const beside = { name: `${ours}, 1 watcher`, samples: single };
      cases.push(
        watchers === most
          ? { ...ingest, target: { atMost: 1.3, than: beside.name }, contenders: [...ingest.contenders, beside] }
          : ingest,
      );
    }
    const delivery = new Results();
    for (let round = 0; round < (quick ? 1 : 3); round++) {
      for (const name of names) delivery.add(name, await delivered(etcd, name, most, quick), { all: true });
    }
    cases.push(
      delivery.case(`to each of ${most.toLocaleString("en")} that wait`, "hops", {
        unit: "hops",
        target: { atMost: 4 },
      }),
    );
    client.close();
    return { cases };
  },
};
export default question;

/** Who delivers each update to each watcher is given few of them. */
function updatesFor(name: string, watchers: number, quick: boolean): number {
  if (watchers < 10_000 || name === ours) return quick ? 100 : 2_000;
  return name === "etcd3" ? (quick ? 2 : 20) : quick ? 50 : 1_000;
}

/** CPU time of both sides an update, in us. */
async function updated(etcd: EtcdServer, client: BareClient, name: string, watchers: number, quick: boolean) {
  const updates = updatesFor(name, watchers, quick);
  const watching = await standby(import.meta.url, name, { endpoint: etcd.endpoint, watchers, updates, waiting: 0 });
  const before = cpuOf(etcd.pid!);
  const { outcome, figures } = await watching.go(async () => {
    for (let i = 1; i <= updates; i++) await client.put(key, Buffer.from(valueOf(i, 100)));
    // Another value each time: putting what is there is no change.
    await client.put(endKey, Buffer.from(String(performance.now())));
  });
  const server = cpuOf(etcd.pid!) - before;
  const [cpu] = figures["cpu"] as [number];
  return { outcome, figures: { server: [(server * 1000) / updates], client: [(cpu * 1000) / updates] } };
}

/** A delivery to one of so many that wait, in hops. */
async function delivered(etcd: EtcdServer, name: string, most: number, quick: boolean) {
  const updates = name === "etcd3" ? (quick ? 2 : 20) : quick ? 20 : 200;
  const run = async (watchers: number): Promise<{ update: number; hop: number }> => {
    const job: Job = { endpoint: etcd.endpoint, watchers, updates, waiting: 1 };
    const { outcome, figures } = await (await standby(import.meta.url, name, job)).go();
    if ((outcome as { told: number }).told !== watchers * updates)
      throw new Error(`${name} did not deliver each value`);
    return { update: figure(figures["update"]!).median, hop: figures["hop"]![0]! };
  };
  const one = await run(1);
  const many = await run(most);
  const each = (many.update - one.update) / (most - 1);
  return { outcome: { all: true }, figures: { hops: [each / many.hop] } };
}

/** A slot for each watcher: who waits for the next value. */
class Waiting {
  readonly #resolve: ((change: Told) => void)[] = [];

  readonly next = (watcher: number): Promise<Told> =>
    new Promise((resolve) => {
      this.#resolve[watcher] = resolve;
    });

  tell(watcher: number, value: string): void {
    this.#resolve[watcher]!({ value });
  }
}

/** A change, as far as it is looked at; a delete has no value. */
interface Told {
  readonly key?: string;
  readonly value?: string;
}

/** All watchers wait for each value, as in memory/wake; the next one is put when all have the last. */
function preparedWaiting({ endpoint, watchers, updates }: Job, next: (watcher: number) => Promise<Told>): Prepared {
  const client = new BareClient(endpoint);
  const times: number[] = [];
  let told = 0;
  return {
    async run() {
      const waiting: Promise<Told>[] = Array.from({ length: Number(watchers) });
      for (let i = 0; i < Number(updates); i++) {
        const expected = valueOf(i, 90);
        const start = performance.now();
        for (let watcher = 0; watcher < waiting.length; watcher++) waiting[watcher] = next(watcher);
        const put = client.put(key, Buffer.from(expected));
        for (const one of waiting) if ((await one).value === expected) told++;
        times.push(performance.now() - start);
        await put;
      }
    },
    outcome: () => ({ told }),
    // Once the optimiser is done.
    figures: async () => ({ update: times.slice(times.length >> 1), hop: [await hop(100)] }),
  };
}

export const contenders: Readonly<Record<string, Contender>> = {
  async [ours](job) {
    const keyspace = new EtcdKeyspace({ endpoints: job.endpoint });
    const range = keyspace.range(prefix, text);
    const watchers = Array.from({ length: Number(job["watchers"]) }, () => range.watch());
    await Promise.all(watchers.map((watcher) => watcher.getBatch()));
    if (job["waiting"] === 1) return preparedWaiting(job, (watcher) => watchers[watcher]!.get());
    const end = keyspace.value(endKey, text).watch();
    await end.get();
    return {
      async run() {
        await end.get();
      },
      async outcome() {
        const last = valueOf(Number(job["updates"]), 100);
        let newest = 0;
        for (const watcher of watchers) {
          for await (const change of watcher) if (change.type === "put" && change.value === last) break;
          newest++;
        }
        return { newest };
      },
    };
  },
  async etcd3(job) {
    const client = await etcd3(job.endpoint);
    const waiting = new Waiting();
    const counting = new Counting(job);
    await Promise.all(
      Array.from({ length: Number(job["watchers"]) }, async (_, i) => {
        const watcher = await client.watch().prefix(prefix).create();
        watcher.on("put", ({ value }) => {
          if (job["waiting"] === 1) waiting.tell(i, value.toString());
          else counting.count(i, value.toString());
        });
      }),
    );
    return job["waiting"] === 1 ? preparedWaiting(job, waiting.next) : counting;
  },
  async "bare gRPC"(job) {
    const waiting = new Waiting();
    const counting = new Counting(job);
    const callbacks = Array.from({ length: Number(job["watchers"]) }, (_, i) =>
      job["waiting"] === 1 ? (value: string) => waiting.tell(i, value) : (value: string) => counting.count(i, value),
    );
    await new Promise<void>((created) => {
      const stream = new BareClient(job.endpoint).watch((response) => {
        if (response.created) created();
        for (const { kv } of response.events) {
          const value = Buffer.from(kv!.value).toString();
          for (const callback of callbacks) callback(value);
        }
      });
      stream.write(watchPrefix(prefix, 0));
    });
    return job["waiting"] === 1 ? preparedWaiting(job, waiting.next) : counting;
  },
};

/** Counts until each watcher was called for each update. */
class Counting implements Prepared {
  readonly #newest: string[];
  readonly #last: string;
  #lacking: number;
  #all = (): void => {};

  constructor({ watchers, updates }: Job) {
    this.#newest = Array.from({ length: Number(watchers) }, () => "");
    this.#lacking = Number(watchers) * Number(updates);
    this.#last = valueOf(Number(updates), 100);
  }

  count(watcher: number, value: string): void {
    this.#newest[watcher] = value;
    if (--this.#lacking === 0) this.#all();
  }

  run(): Promise<void> {
    return new Promise((resolve) => {
      this.#all = resolve;
    });
  }

  outcome(): unknown {
    return { newest: this.#newest.filter((value) => value === this.#last).length };
  }
}
