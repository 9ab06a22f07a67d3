/**
 * A round of the proof: a cluster, writers, a process full of watchers, faults one after the other and sometimes two at
 * once; every delivery held against every guarantee. In the end all is healed, and everybody must come to know what is.
 */
import { setTimeout as delay } from "node:timers/promises";
import { faults as allFaults } from "../faults/all.ts";
import type { Fault, Harm } from "../faults/fault.ts";
import { lifeFaults } from "../faults/lives.ts";
import { checkGrowth, checkWatches, type Watches } from "../guarantees/bounded.ts";
import { checkEnd } from "../guarantees/clean.ts";
import { notConverged } from "../guarantees/convergent.ts";
import { checkStale } from "../guarantees/fresh.ts";
import { Broken } from "../guarantees/guarantee.ts";
import { Random } from "../support/seed.ts";
import { Judge } from "./judge.ts";
import { now, type Measured, type Recorded } from "./recording.ts";
import { SubjectProcess } from "./subject-process.ts";
import { keyspaces, namespace, user, World } from "./world.ts";

export interface RoundOptions {
  readonly seed: number;
  /** How long faults go on. Each of them strikes at least once, however long that takes. */
  readonly forMs: number;
  /** The server to run. */
  readonly bin?: string;
  /** Only faults whose names contain this. */
  readonly only?: string;
  /** How the library is broken on purpose: a name of test/mutations. */
  readonly mutation?: string;
  /** Told of what happens, a line each. */
  readonly log: (line: string) => void;
}

export interface RoundResult {
  readonly version: string;
  /** What was broken, and by what; empty where every guarantee held. */
  readonly violations: readonly string[];
  /** How many deliveries were judged, and how often each fault struck. */
  readonly deliveries: number;
  readonly struck: ReadonlyMap<string, number>;
  readonly writes: number;
  /** How many writes of the library were judged, by what it said of them. */
  readonly written: Judge["written"];
}

/** A keyspace finds out what is wrong the sooner, the more faults a round can have. One has the defaults, as users do. */
const short = {
  staleAfterMs: 3000,
  requestTimeoutMs: 2000,
  connectTimeoutMs: 1000,
  keepAliveMs: 5000,
  keepAliveTimeoutMs: 2000,
};
/** How late the status of each keyspace may be. */
const staleAfterMs = [short.staleAfterMs, 15_000, short.staleAfterMs] as const;
/** How long watchers may take to come to know what is, when all is well. */
const convergeMs = 30_000;
/** How long a process may take to end when it has closed everything. */
const endMs = 10_000;

export async function round(options: RoundOptions): Promise<RoundResult> {
  await using world = await World.start(options.bin);
  const judge = new Judge(world.history);
  const running = new Running(world, judge, options);
  using subject = await SubjectProcess.start(
    {
      seed: options.seed,
      namespace,
      auth: user,
      // The last one has a single member to turn to.
      keyspaces: staleAfterMs.map((ms, i) => {
        const ways = world.members.map(({ clients }) => clients[i]!.endpoint);
        const endpoints = i === keyspaces - 1 ? ways.slice(-1) : ways;
        return ms === short.staleAfterMs ? { endpoints, ...short } : { endpoints };
      }),
    },
    (recorded) => running.take(recorded),
    options.mutation,
  );
  // Awaited here, as what was started ends with this function.
  return await running.run(subject);
}

class Running {
  readonly #world: World;
  readonly #judge: Judge;
  readonly #options: RoundOptions;
  readonly #random: Random;
  /** Those that may strike. */
  readonly #faults: readonly Fault[];
  readonly #struck = new Map<string, number>();
  readonly #began = now();
  /** What the status of each keyspace last was. */
  readonly #status: { state: string; at: number }[] = [];
  readonly #measured: Measured[] = [];
  #died = false;
  /** Called when no write of the library is under way. */
  #rests: () => void = () => {};

  constructor(world: World, judge: Judge, options: RoundOptions) {
    this.#world = world;
    this.#judge = judge;
    this.#options = options;
    this.#random = new Random(options.seed);
    const { only = "" } = options;
    this.#faults = [...allFaults, ...lifeFaults].filter(({ name }) => name.includes(only));
  }

  take(recorded: Recorded): void {
    if (recorded.what === "status") this.#status[recorded.keyspace] = recorded;
    else if (recorded.what === "measured") this.#measured.push(recorded);
    else if (recorded.what === "rests") this.#rests();
    else this.#judge.take(recorded);
  }

  async run(subject: SubjectProcess): Promise<RoundResult> {
    const { seed } = this.#options;
    const world = this.#world;
    this.#log(`etcd ${world.version}, seed ${seed}`);
    void subject.ended.then(({ code, stderr }) => {
      this.#died = true;
      this.#log(`the process that watches has ended with ${code}${stderr === "" ? "" : `: ${stderr}`}`);
    });
    const judging = setInterval(() => this.#judge.judge(), 20);
    const forgetting = setInterval(() => world.history.forgetBefore(now() - 120_000), 10_000);
    const telling = setInterval(() => this.#tell(), 60_000);
    try {
      world.writers.start(Array.from({ length: 3 }, (_, i) => new Random(seed + i)));
      subject.tell({ do: "write", write: true });
      await this.#disturb(subject);
      await this.#settle(subject);
      await this.#rest(subject);
      await world.writers.pause();
      await this.#converge(subject);
      await this.#count(subject);
      await this.#end(subject);
    } catch (error) {
      if (error instanceof Broken) this.#judge.violations.push(error.message);
      else if (this.#judge.violations.length === 0) throw error;
    } finally {
      clearInterval(judging);
      clearInterval(forgetting);
      clearInterval(telling);
    }
    this.#judge.finish();
    this.#tell();
    const { violations, judged, written } = this.#judge;
    const writes = world.writers.answered;
    return { version: world.version, violations, deliveries: judged, struck: this.#struck, writes, written };
  }

  /** How far it is. */
  #tell(): void {
    const { judged, violations } = this.#judge;
    const held = Math.round((this.#measured.at(-1)?.bytes ?? 0) / (1 << 20));
    const { answered } = this.#world.writers;
    this.#log(`${judged} deliveries of ${answered} writes judged, ${violations.length} violations, ${held} MB held`);
    const { made, refused, unclear } = this.#judge.written;
    this.#log(`of writes by the library ${made} were made, ${refused} refused, ${unclear} are unclear`);
  }

  /** Faults, until the time is over and each has struck, or something is broken. */
  async #disturb(subject: SubjectProcess): Promise<void> {
    const { forMs, only = "" } = this.#options;
    const random = this.#random;
    const every = this.#faults;
    if (every.length === 0) throw new Error(`no fault is called anything like ${JSON.stringify(only)}`);
    const first = shuffled(every, random);
    await this.#world.writers.more(20);
    while (this.#judge.violations.length === 0 && !this.#died) {
      const over = now() - this.#began > forMs;
      const fault = first.shift() ?? (over ? undefined : random.pick(every));
      if (fault === undefined) break;
      await this.#strike(fault, subject);
      // In half of the cases everybody has come back before the next fault.
      if (random.below(2) === 0) await this.#world.healthy();
      await delay(random.below(1000));
      subject.tell({ do: "measure" });
    }
  }

  /** One fault, and sometimes another one meanwhile. */
  async #strike(fault: Fault, subject: SubjectProcess): Promise<void> {
    const random = this.#random;
    const harms: Harm[] = [];
    if (fault.alone === true) await this.#world.healthy();
    const isLife = lifeFaults.includes(fault);
    if (isLife) {
      await this.#rest(subject);
      this.#judge.held = true;
    }
    harms.push(await this.#inflict(fault));
    const since = now();
    if (isLife) {
      this.#judge.held = false;
      // Whoever has not noticed when the store overtakes what it was could not tell.
      await this.#converge(subject);
      this.#world.writers.start(Array.from({ length: 3 }, () => new Random(random.below(2 ** 31))));
      subject.tell({ do: "write", write: true });
    } else if (fault.alone !== true && random.below(3) === 0) {
      const others = this.#faults.filter((candidate) => candidate.alone !== true && candidate !== fault);
      try {
        if (others.length > 0) harms.push(await this.#inflict(random.pick(others)));
      } catch (error) {
        // What the first fault has hit may be out of reach of the second.
        this.#log(`  not ${(error as Error).message}`);
      }
    }
    const cutOff = harms.flatMap((harm) => harm.cutOff ?? []);
    // The defaults would take a quarter of a minute each time.
    const waitMs = Math.max(0, ...cutOff.map((keyspace) => staleAfterMs[keyspace]!));
    if (waitMs > 0 && random.below(waitMs > short.staleAfterMs ? 8 : 2) === 0) {
      await delay(Math.max(0, since + waitMs + 500 - now()));
      for (const keyspace of cutOff) {
        const bound = staleAfterMs[keyspace]!;
        const { state, at } = this.#status[keyspace] ?? { state: "connecting", at: 0 };
        checkStale(since, state === "live" ? undefined : Math.min(at, since + bound), bound);
      }
    } else await delay(random.below(1500));
    for (const harm of harms) await harm.heal();
  }

  async #inflict(fault: Fault): Promise<Harm> {
    let harm: Harm | undefined;
    try {
      harm = await fault.inflict(this.#world, this.#random);
      await harm.bit();
    } catch (cause) {
      await harm?.heal();
      throw new Error(`${fault.name}: ${(cause as Error).message}`, { cause });
    }
    this.#struck.set(fault.name, (this.#struck.get(fault.name) ?? 0) + 1);
    this.#log(`${fault.name}: ${harm.what}`);
    return harm;
  }

  /** All is well again. */
  async #settle(subject: SubjectProcess): Promise<void> {
    await this.#world.healthy();
    await this.#world.writers.more(10);
    subject.tell({ do: "measure" });
  }

  /** Ends the writes of the library, and holds what it said of them against the history. */
  async #rest(subject: SubjectProcess): Promise<void> {
    const resting = new Promise<void>((resolve) => (this.#rests = resolve));
    subject.tell({ do: "write", write: false });
    await Promise.race([resting, subject.ended]);
    const { revision } = await this.#world.oracle.read();
    await this.#world.oracle.knows(revision);
    this.#judge.judgeWrites();
  }

  /** Resolves when every watcher knows the state there is. */
  async #converge(subject: SubjectProcess): Promise<void> {
    subject.tell({ do: "calm", calm: true });
    const since = now();
    for (;;) {
      // A write that was given up may come to the store late.
      const { revision, state } = await this.#world.oracle.read();
      await this.#world.oracle.knows(revision);
      this.#judge.judge();
      const behind = this.#judge.behind(state);
      if (behind === undefined) {
        this.#log(`  all know revision ${revision} after ${Math.round(now() - since)} ms`);
        break;
      }
      if (this.#died || this.#judge.violations.length > 0) return;
      if (now() - since > convergeMs) throw notConverged(behind.view, behind.what, convergeMs);
      await delay(20);
    }
    this.#judge.converged();
    subject.tell({ do: "calm", calm: false });
  }

  /** What the servers and the process hold for the watchers there are. */
  async #count(subject: SubjectProcess): Promise<void> {
    await this.#world.oracle.stop();
    subject.tell({ do: "calm", calm: true });
    await this.#serversHave(async () => {
      subject.tell({ do: "measure" });
      await delay(100);
      return { watches: this.#measured.at(-1)?.watches ?? 0, streams: keyspaces };
    }, 15_000);
    checkGrowth(this.#measured.map(({ bytes }) => bytes));
  }

  /** Everything is closed: the process ends, and the servers forget it. */
  async #end(subject: SubjectProcess): Promise<void> {
    if (this.#died) return checkEnd(await subject.ended);
    subject.tell({ do: "finish" });
    checkEnd(await Promise.race([subject.ended, delay(endMs, "late" as const)]));
    await this.#serversHave(() => Promise.resolve({ watches: 0, streams: 0 }), endMs);
  }

  /** Resolves when the servers have the watches and streams that are needed by then, beside those of the oracle. */
  async #serversHave(needed: () => Promise<Watches>, withinMs: number): Promise<void> {
    const deadline = now() + withinMs;
    for (;;) {
      const wanted = await needed();
      const found = {
        watches: await this.#world.metric("etcd_debugging_mvcc_watcher_total"),
        streams: await this.#world.metric("etcd_debugging_mvcc_watch_stream_total"),
      };
      try {
        return checkWatches(found, wanted, this.#world.oracle.ended);
      } catch (error) {
        if (now() > deadline) throw error;
      }
      await delay(50);
    }
  }

  #log(line: string): void {
    this.#options.log(`${((now() - this.#began) / 1000).toFixed(1).padStart(6)} s  ${line}`);
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const left = [...items];
  return items.map(() => left.splice(random.below(left.length), 1)[0]!);
}
