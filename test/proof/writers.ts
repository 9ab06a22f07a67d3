/**
 * Writers of the store, past the library and past the proxies: they put and delete keys, one or several at once, write
 * what is there already, and move sums between accounts.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Random } from "../support/seed.ts";
import { base64, type Gateway, type Header, insist, type RangeAnswer, unbase64 } from "./gateway.ts";
import type { Oracle } from "./oracle.ts";

/** What all accounts hold together, at every revision from the first on. */
export const total = 1000;
export const accounts: readonly string[] = Array.from({ length: 6 }, (_, i) => `account/${i}`);
/** Few keys, so that each is written, deleted and created again often. */
const keys: readonly string[] = Array.from({ length: 20 }, (_, i) => `key/${String(i).padStart(2, "0")}`);

interface TxnAnswer {
  readonly header: Header;
  readonly succeeded?: boolean;
}

export class Writers {
  readonly #gateways: readonly Gateway[];
  readonly #oracle: Oracle;
  readonly #namespace: string;
  #stop = new AbortController();
  #writing: Promise<unknown> = Promise.resolve();
  #written = 0;
  /** How many writes were answered, and how many were not, and may have been carried out. */
  answered = 0;
  lost = 0;

  constructor(gateways: readonly Gateway[], oracle: Oracle, namespace: string) {
    this.#gateways = gateways;
    this.#oracle = oracle;
    this.#namespace = namespace;
  }

  /** Gives the first account all there is. */
  async found(): Promise<void> {
    // An answer may be lost, but nobody moves anything yet.
    await insist(this.#gateways, (gateway) => this.#write(gateway, [], [{ key: accounts[0]!, value: `${total}` }]));
  }

  start(randoms: readonly Random[]): void {
    this.#stop = new AbortController();
    this.#writing = Promise.all(randoms.map((random) => this.#loop(random, this.#stop.signal)));
  }

  /** Resolves when no write is under way any more. */
  async pause(): Promise<void> {
    this.#stop.abort();
    await this.#writing;
  }

  /** Resolves when `count` more writes were answered. */
  async more(count: number): Promise<void> {
    const goal = this.answered + count;
    while (this.answered < goal && !this.#stop.signal.aborted) await delay(2);
  }

  /**
   * Writes `bytes` and more, in transactions of several big values each: as a backlog they are too much for one message
   * of the watch, whose parts end in the midst of a transaction.
   */
  async flood(bytes: number, random: Random): Promise<void> {
    for (let written = 0; written < bytes && !this.#stop.signal.aborted;) {
      const chosen = new Set(Array.from({ length: 6 }, () => random.pick(keys)));
      const operations = [...chosen].map((key) => ({ key, value: `${++this.#written} ${"x".repeat(8000)}` }));
      await this.#write(random.pick(this.#gateways), [], operations).then(
        () => (written += 8000 * operations.length),
        () => delay(50),
      );
    }
  }

  async #loop(random: Random, stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const gateway = random.pick(this.#gateways);
      try {
        await (random.below(4) === 0 ? this.#move(gateway, random) : this.#change(gateway, random));
      } catch {
        this.lost++;
        await delay(50);
      }
      await delay(5 + random.below(40));
    }
  }

  async #change(gateway: Gateway, random: Random): Promise<void> {
    const chosen = new Set(Array.from({ length: 1 + random.below(1 + random.below(6)) }, () => random.pick(keys)));
    // Once in a while a burst of big values, which does not fit one message of the watch.
    const big = random.below(12) === 0;
    const operations = [...chosen].map((key) => {
      const kind = random.below(10);
      if (kind < 3) return { key };
      // Of few short ones, some are as they are already.
      if (kind < 6 && !big) return { key, value: `same-${random.below(3)}` };
      return { key, value: `${++this.#written} ${"x".repeat(random.below(big ? 8000 : 40))}` };
    });
    await this.#write(gateway, [], operations);
  }

  async #move(gateway: Gateway, random: Random): Promise<void> {
    const from = random.pick(accounts);
    const to = random.pick(accounts.filter((account) => account !== from));
    const held = await Promise.all([from, to].map((account) => this.#balance(gateway, account)));
    const [a, b] = held as [{ balance: number; revision: string }, { balance: number; revision: string }];
    if (a.balance === 0) return;
    const amount = random.below(3) === 0 ? a.balance : 1 + random.below(a.balance);
    const compare = [from, to].map((account, i) => ({
      key: base64(this.#namespace + account),
      target: "MOD",
      result: "EQUAL",
      mod_revision: held[i]!.revision,
    }));
    // An account that holds nothing is not there.
    const left = a.balance - amount;
    await this.#write(gateway, compare, [
      left === 0 ? { key: from } : { key: from, value: `${left}` },
      { key: to, value: `${b.balance + amount}` },
    ]);
  }

  async #balance(gateway: Gateway, account: string): Promise<{ balance: number; revision: string }> {
    const { kvs = [] } = await gateway.call<RangeAnswer>("kv/range", { key: base64(this.#namespace + account) });
    return { balance: Number(unbase64(kvs[0]?.value)), revision: kvs[0]?.mod_revision ?? "0" };
  }

  async #write(
    gateway: Gateway,
    compare: readonly unknown[],
    operations: readonly { readonly key: string; readonly value?: string }[],
  ): Promise<void> {
    const success = operations.map(({ key, value }) => {
      const full = base64(this.#namespace + key);
      return value === undefined
        ? { request_delete_range: { key: full } }
        : { request_put: { key: full, value: base64(value) } };
    });
    const { header, succeeded } = await gateway.call<TxnAnswer>("kv/txn", { compare, success });
    this.answered++;
    if (succeeded) this.#oracle.acknowledge(Number(header.revision));
  }
}
