import { errorOf, type EventValueError } from "../errors.ts";
import { checkOptions, mustBe } from "../internal/arguments.ts";
import type { Lease } from "../keyspace.ts";
import { MemoryKeyspace } from "../memory/memory-keyspace.ts";
import { MemoryStore } from "../memory/memory-store.ts";
import { Namespace } from "../memory/namespace.ts";
import { TestClock } from "./test-clock.ts";
import { TestConnection } from "./test-connection.ts";

/** Options of {@link TestKeyspace.failNextWrite}. */
export interface WriteFailureOptions {
  /** Whether the store makes the write all the same, as where only its answer is lost. @defaultValue false */
  readonly applied?: boolean | undefined;
  /** What the write rejects with. @defaultValue an `EV_UNAVAILABLE` that says that it may have been applied */
  readonly error?: Error | undefined;
}

/**
 * A keyspace in memory for tests: what networks and clusters do to one, at the word of the test. Another client of the
 * same store, which nothing of that touches, is `new MemoryKeyspace({ sharing: keyspace })`.
 *
 * Its time stands still: leases expire when the test says so, and not otherwise.
 *
 * @example
 * ```ts
 * import { json } from "event-value";
 * import { collect, TestKeyspace } from "event-value/testing";
 *
 * const keyspace = new TestKeyspace();
 * const limit = keyspace.value("limit", json<number>());
 * using told = collect(limit);
 * await limit.set(1);
 * await told.until((values) => values.length === 1);
 * keyspace.pause();
 * for (const n of [2, 3, 4]) await limit.set(n);
 * keyspace.resume();
 * console.log(await told.until((values) => values.includes(4))); // [ 1, 4 ]
 * ```
 */
export class TestKeyspace extends MemoryKeyspace {
  readonly #connection: TestConnection;
  readonly #clock: TestClock;

  constructor(options?: { readonly namespace?: string | undefined }) {
    checkOptions(options, { namespace: "string" }, "new TestKeyspace()");
    const clock = new TestClock();
    const connection = new TestConnection(new MemoryStore(clock), new Namespace(options?.namespace ?? ""));
    super(connection);
    this.#connection = connection;
    this.#clock = clock;
  }

  /** Holds back all deliveries, until {@link resume}. Reads and writes go on; watchers that are opened wait. */
  pause(): void {
    this.#connection.pause(true);
  }

  /** Ends a {@link pause}: watchers are delivered what is newest by then. */
  resume(): void {
    this.#connection.pause(false);
  }

  /**
   * Cuts the keyspace off from its store, until {@link recover}: `status` says `stale`, nothing is delivered, reads and
   * writes wait, and leases are not kept alive.
   */
  goStale(cause: unknown = errorOf("EV_UNAVAILABLE", "cut off by the test", { maybeApplied: false })): void {
    this.#connection.cut(cause);
  }

  /** Ends what {@link goStale} began. A lease that expired meanwhile is lost. */
  recover(): void {
    this.#connection.mend();
  }

  /**
   * Lets the next write fail, or the next after those that were told to fail before: a `set`, `update`, `delete` or
   * `transaction`. It fails as it is told to, also where a cluster would have resolved a lost answer by looking.
   */
  failNextWrite(options: WriteFailureOptions = {}): void {
    checkOptions(options, { applied: "boolean", error: "any" }, "failNextWrite()");
    const { applied = false, error = lostAnswer() } = options;
    if (!(error instanceof Error)) throw mustBe("failNextWrite(): error", "an Error", error);
    this.#connection.fail({ applied, error });
  }

  /** The store ends a lease of this store, of whatever keyspace: its keys go, its holder is told at once. */
  expireLease(lease: Lease): void {
    if (typeof lease?.id !== "string") throw mustBe("lease", "a lease", lease);
    if (!this.store.expire(lease.id))
      throw new RangeError(`lease: the store has no lease ${lease.id}, or not any more`);
  }

  /**
   * Lets time pass at once, as if the process had slept: a lease that lives no longer than that is lost, others are kept
   * alive again.
   *
   * @param ms milliseconds, at least 0
   */
  jump(ms: number): void {
    if (typeof ms !== "number") throw mustBe("ms", "a number of milliseconds", ms);
    if (!(ms >= 0 && ms < Infinity)) throw new RangeError(`ms must be a time of at least 0, not ${ms}`);
    this.#clock.jump(ms);
  }
}

function lostAnswer(): EventValueError {
  return errorOf("EV_UNAVAILABLE", "the answer was lost, as the test wanted", { maybeApplied: true });
}
