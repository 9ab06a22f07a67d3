/** What tests ask of promises: what became of them, and to wait for something that is going to happen. */
import { setImmediate as macrotask } from "node:timers/promises";
import { isEventValueError } from "../../src/index.ts";

/** What has become of a promise so far. */
export type Outcome =
  | { readonly state: "pending" }
  | { readonly state: "fulfilled"; readonly value: unknown }
  | { readonly state: "rejected"; readonly reason: unknown };

/** Follows `promise`, which counts as handled from now on; call what is returned for its outcome so far. */
export function observe(promise: Promise<unknown>): () => Outcome {
  let outcome: Outcome = { state: "pending" };
  promise.then(
    (value) => (outcome = { state: "fulfilled", value }),
    (reason: unknown) => (outcome = { state: "rejected", reason }),
  );
  return () => outcome;
}

/** What `promise` is rejected with; throws where it is fulfilled. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`fulfilled with ${String(value)}, not rejected`);
}

/** The code `promise` is rejected with, or what it is rejected with where that has no code. */
export async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  const error = await rejection(promise);
  return isEventValueError(error) ? error.code : error;
}

/** Lets `count` microtasks that were queued before pass. */
export async function microtasks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve();
}

/** Lets the event loop turn once: all that is settled by now is known after. */
export function turn(): Promise<void> {
  return macrotask();
}

/** Lets the event loop turn until `condition` holds; what it waits for must happen, or the test runs out of time. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await macrotask();
}
