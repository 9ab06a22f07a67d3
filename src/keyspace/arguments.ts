/** Checks of what callers of a keyspace pass, beyond those of `internal/arguments.ts`. */
import type { Codec } from "../codec.ts";
import { checkOptions, type Known, mustBe } from "../internal/arguments.ts";
import { mostMs } from "../internal/backoff.ts";

const callOptions: Known = { signal: "AbortSignal" };

/** Refuses options that are not those of a call to the store. */
export function checkCallOptions(options: unknown, what: string): void {
  checkOptions(options, callOptions, what);
}

/** Refuses what is not a time that a timer can wait for. */
export function checkMs(ms: unknown, what: string): void {
  if (typeof ms !== "number") throw mustBe(what, "a number of milliseconds", ms);
  if (!(ms > 0 && ms <= mostMs)) throw new RangeError(`${what} must be more than 0 and at most ${mostMs}, not ${ms}`);
}

export function checkCodec(given: unknown): void {
  const codec = given as Partial<Codec<unknown>> | null | undefined;
  if (typeof codec?.decode !== "function" || typeof codec.encode !== "function") {
    throw mustBe("codec", "a codec, or a decode function", given);
  }
}

/** Refuses what is neither a revision nor 0. */
export function checkRevision(revision: unknown, what: string): void {
  if (typeof revision !== "number") throw mustBe(what, "a revision or 0", revision);
  if (!Number.isSafeInteger(revision) || revision < 0)
    throw new RangeError(`${what} must be a revision or 0, not ${revision}`);
}

/** Refuses what is neither a lease nor nothing. */
export function checkLease(lease: unknown, what: string): void {
  const id = (lease as { readonly id?: unknown } | null | undefined)?.id;
  if (lease !== undefined && (typeof id !== "string" || !/^\d+$/.test(id))) {
    throw mustBe(`${what}: lease`, "a lease", lease);
  }
}
