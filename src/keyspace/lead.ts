import { text } from "../codec.ts";
import { isEventValueError } from "../errors.ts";
import { follow, isAbort } from "../internal/abort.ts";
import { checkFunction, checkOptions, type Known } from "../internal/arguments.ts";
import { Backoff } from "../internal/backoff.ts";
import { quietlyUnless } from "../internal/quiet.ts";
import type { Election, Leadership } from "../keyspace.ts";
import { checkMs } from "./arguments.ts";

/** What the task of {@link lead} is told beside its leadership. */
export interface LeadContext {
  /** Aborted when the leadership is lost, or when all is to end. */
  readonly signal: AbortSignal;
}

/** Options of {@link lead}. */
export interface LeadOptions {
  /** Aborting aborts the task and, when that has settled and the leadership is resigned, rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /** How long the leadership outlives a leader that cannot be reached, in milliseconds. @defaultValue 10000 */
  readonly ttlMs?: number | undefined;
}

const leadOptions: Known = { signal: "AbortSignal", ttlMs: "number" };

/**
 * Campaigns, and runs `task` while it leads: when the leadership is lost the signal of the task is aborted, and when it
 * has settled, the campaign begins again. A campaign that fails with `EV_UNAVAILABLE` or `EV_LEASE_NOT_FOUND` is tried
 * again, too.
 *
 * A task that ends by itself has done its job: the leadership is resigned, and this resolves with what the task returned.
 * One that ends after its leadership was lost was ended by that, whatever it returned, and runs again with the next
 * leadership; also where it rejects with its signal's reason, an `AbortError`, `EV_CONFLICT`, `EV_LEASE_NOT_FOUND` or
 * `EV_UNAVAILABLE`. So was, at any time, one that rejects with the `EV_CONFLICT` of {@link Leadership.fence}.
 *
 * Rejects with `signal.reason` on abort, with any other error of the task, and with what the store refuses: when the task
 * has settled and the leadership is resigned, or has expired where the store cannot be reached.
 *
 * A blocked event loop delays the signal, and a task that ignores it is waited for while somebody else leads: what must
 * not happen then is written with the fence. Closing the keyspace resigns and aborts the task; this rejects with
 * `EV_CLOSED` then.
 *
 * @param value - what {@link Election.leader} tells of this candidate, such as its address.
 * @param task - what it returns is awaited.
 * @throws {@link EventValueError} what the store refuses a campaign for, such as `EV_PERMISSION_DENIED`; `EV_CLOSED`.
 *
 * @example
 * ```ts
 * import { lead, MemoryKeyspace, put, text } from "event-value";
 *
 * const keyspace = new MemoryKeyspace();
 * const state = keyspace.value("migration", text);
 * const { revision } = await lead(keyspace.election("migrator"), "this process", async ({ fence }, { signal }) => {
 *   // … what one process is to do, as long as `signal` is not aborted …
 *   return keyspace.transaction([fence, put(state, "done")], { signal });
 * });
 * console.log((await state.read())?.revision === revision); // true
 * ```
 */
export function lead<T>(
  election: Pick<Election, "campaign">,
  value: string,
  task: (leadership: Leadership, context: LeadContext) => T | PromiseLike<T>,
  options: LeadOptions = {},
): Promise<T> {
  checkFunction((election as Partial<Election> | undefined)?.campaign, "lead(): campaign of the election");
  text.encode(value, "lead(): value");
  checkFunction(task, "lead(): task");
  checkOptions(options, leadOptions, "lead()");
  const { signal, ttlMs = 10_000 } = options;
  checkMs(ttlMs, "lead(): ttlMs");
  const candidate = new Candidate(() => election.campaign(value, { signal, ttlMs }), task, signal);
  // What the task failed with is the caller's to handle; whatever else ended it may go unnoticed.
  return quietlyUnless(() => candidate.hasFailed, candidate.run());
}

class Candidate<T> {
  /** Whether the task is why it ends. */
  hasFailed = false;
  readonly #campaign: () => Promise<Leadership>;
  readonly #task: (leadership: Leadership, context: LeadContext) => T | PromiseLike<T>;
  readonly #signal: AbortSignal;

  constructor(
    campaign: () => Promise<Leadership>,
    task: (leadership: Leadership, context: LeadContext) => T | PromiseLike<T>,
    signal: AbortSignal = new AbortController().signal,
  ) {
    this.#campaign = campaign;
    this.#task = task;
    this.#signal = signal;
  }

  async run(): Promise<T> {
    for (;;) {
      this.#signal.throwIfAborted();
      const done = await this.#lead(await this.#win());
      if (done !== undefined) return done.result;
    }
  }

  async #win(): Promise<Leadership> {
    for (const backoff = new Backoff(); ;) {
      try {
        return await this.#campaign();
      } catch (error) {
        const passes = isEventValueError(error, "EV_UNAVAILABLE") || isEventValueError(error, "EV_LEASE_NOT_FOUND");
        if (!passes) throw error;
        await backoff.wait(this.#signal);
      }
    }
  }

  /** Runs the task, and resigns. Resolves with what the task returned, unless it was made to end. */
  async #lead(leadership: Leadership): Promise<{ readonly result: T } | undefined> {
    const over = new AbortController();
    const following = [this.#signal, leadership.lost].map((signal) => follow(over, signal));
    try {
      const result = await this.#task(leadership, { signal: over.signal });
      return over.signal.aborted ? undefined : { result };
    } catch (error) {
      if (this.#signal.aborted || isLoss(error, leadership, over.signal)) return undefined;
      this.hasFailed = true;
      throw error;
    } finally {
      for (const entry of following) entry.unlink();
      // A leadership that cannot be resigned goes with its lease.
      await leadership.resign().catch(() => {});
    }
  }
}

/** Whether `error` is how a task ends whose leadership was lost, which the store may know before `signal` does. */
function isLoss(error: unknown, { fence }: Leadership, signal: AbortSignal): boolean {
  if (!signal.aborted) return isEventValueError(error, "EV_CONFLICT") && error.key === fence.key;
  const codes = ["EV_CONFLICT", "EV_LEASE_NOT_FOUND", "EV_UNAVAILABLE"] as const;
  return isAbort(error, signal) || codes.some((code) => isEventValueError(error, code));
}
