/**
 * Learns the store's whole history, past the library and past the proxies: by a watch of its own on whichever member
 * answers. Nothing is compacted that it has not learnt, so nothing escapes it.
 */
import { setTimeout as delay } from "node:timers/promises";
import { base64, type Gateway, type GatewayKey, type Header, insist, type RangeAnswer, unbase64 } from "./gateway.ts";
import type { Held, StoreChange, StoreHistory } from "./history.ts";
import { now, short } from "./recording.ts";

interface WatchAnswer {
  readonly header: Header;
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly cancel_reason?: string;
  readonly events?: readonly { readonly type?: "DELETE"; readonly kv: GatewayKey }[];
}

/** How long a watch may tell nothing of what was acknowledged before another member is asked. */
const patienceMs = 1000;

export class Oracle {
  readonly #gateways: readonly Gateway[];
  readonly #history: StoreHistory;
  readonly #namespace: string;
  #stop = new AbortController();
  #following: Promise<void> = Promise.resolve();
  /** The member that is asked. */
  #at = 0;
  /** How many watches it has ended. Members may keep one whose gateway did not notice, each on a stream of its own. */
  ended = 0;
  /** The newest revision that a writer was told of, and since when more is known of than was learnt. */
  #acknowledged = 0;

  constructor(gateways: readonly Gateway[], history: StoreHistory, namespace: string) {
    this.#gateways = gateways;
    this.#history = history;
    this.#namespace = namespace;
  }

  /** The store begins (again): learns its state, and follows it from there. */
  async begin(): Promise<void> {
    const { revision, state } = await this.read();
    this.#history.begin(revision, state);
    this.#acknowledged = revision;
    this.#stop = new AbortController();
    this.#following = this.#follow(this.#stop.signal);
  }

  /** Ends the watch. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#following;
  }

  /** A writer was told now that the store has come to this revision. */
  acknowledge(revision: number): void {
    this.#history.acknowledge(now(), revision);
    if (revision > this.#acknowledged) this.#acknowledged = revision;
  }

  /** Resolves when everything up to `revision` is known. */
  async knows(revision: number): Promise<void> {
    if (revision > this.#acknowledged) this.#acknowledged = revision;
    while (this.#history.revision < revision) {
      this.#stop.signal.throwIfAborted();
      await delay(2);
    }
  }

  /** Reads the store's state, linearizably, from whichever member answers. */
  async read(): Promise<{ revision: number; state: Map<string, Held & { at: number }> }> {
    const range = prefixRange(this.#namespace);
    const { header, kvs = [] } = await insist(this.#gateways, (gateway) =>
      gateway.call<RangeAnswer>("kv/range", range),
    );
    const state = kvs.map((kv) => {
      const { key, at, held } = this.#change(kv);
      return [key, { ...held, at }] as const;
    });
    return { revision: Number(header.revision), state: new Map(state) };
  }

  async #follow(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const attempt = new AbortController();
      const end = (): void => attempt.abort();
      stop.addEventListener("abort", end);
      let known = -1;
      const silent = setInterval(() => {
        if (this.#history.revision === known && known < this.#acknowledged) end();
        known = this.#history.revision;
      }, patienceMs);
      try {
        await this.#watch(this.#gateways[this.#at++ % 3]!, attempt.signal);
      } catch {
        // The next one, then.
        await delay(50);
      } finally {
        this.ended++;
        clearInterval(silent);
        stop.removeEventListener("abort", end);
      }
    }
  }

  async #watch(gateway: Gateway, signal: AbortSignal): Promise<void> {
    const range = { ...prefixRange(this.#namespace), start_revision: `${this.#history.revision + 1}` };
    for await (const { canceled, cancel_reason, events = [] } of gateway.stream<WatchAnswer>(
      "watch",
      { create_request: range },
      signal,
    )) {
      if (canceled) throw new Error(cancel_reason);
      for (let i = 0; i < events.length;) {
        const revision = Number(events[i]!.kv.mod_revision);
        const changes: StoreChange[] = [];
        for (; i < events.length && Number(events[i]!.kv.mod_revision) === revision; i++) {
          const { type, kv } = events[i]!;
          const change = this.#change(kv);
          changes.push(type === "DELETE" ? { ...change, held: undefined } : change);
        }
        this.#history.append(revision, changes);
      }
    }
  }

  #change({ key, value, mod_revision, create_revision }: GatewayKey): StoreChange & { held: Held } {
    return {
      key: unbase64(key).slice(this.#namespace.length),
      at: Number(mod_revision),
      held: { value: short(unbase64(value)), created: Number(create_revision) },
    };
  }
}

/** All keys that begin with `prefix`, which ends with a character that is not the last of all. */
export function prefixRange(prefix: string): { key: string; range_end: string } {
  const last = prefix.charCodeAt(prefix.length - 1);
  return { key: base64(prefix), range_end: base64(prefix.slice(0, -1) + String.fromCharCode(last + 1)) };
}
