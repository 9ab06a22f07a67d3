/** Consumers of different speed, and the account of what each was delivered and what it skipped. */
import { setTimeout as delay } from "node:timers/promises";
import { MemoryValue, type Watchable } from "event-value";
import type { Hosts } from "./directory.ts";

/** What became of the changes so far. `delivered + skipped` is `newest`. */
export interface Report {
  readonly name: string;
  /** How often it comes to read, in words. */
  readonly reads: string;
  readonly delivered: number;
  readonly skipped: number;
  /** The number of the change it was given last. */
  readonly newest: number;
}

/** A consumer that needs `everyMs` for each value that it is given. */
export class Consumer {
  readonly report: MemoryValue<Report, never>;
  readonly #everyMs: number;

  constructor(name: string, reads: string, everyMs: number) {
    this.report = new MemoryValue({ initial: { name, reads, delivered: 0, skipped: 0, newest: 0 } });
    this.#everyMs = everyMs;
  }

  /** Consumes until `hosts` ends, without its pauses once `signal` is aborted. */
  async consume(hosts: Watchable<Hosts>, signal: AbortSignal): Promise<void> {
    try {
      // Each turn is given the newest value. Nothing was kept of those that came since the last turn.
      for await (const { change } of hosts.watch()) {
        this.report.update(({ delivered, skipped, newest, ...rest }) => ({
          ...rest,
          delivered: delivered + 1,
          skipped: skipped + (change - newest - 1),
          newest: change,
        }));
        if (this.#everyMs > 0) await pause(this.#everyMs, signal);
      }
    } finally {
      this.report.close();
    }
  }
}

/** Waits, at most until `signal` is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}
