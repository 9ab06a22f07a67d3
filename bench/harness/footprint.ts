/** What objects take in memory. */
import { deepStrictEqual } from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import type { Case, Scale, Target } from "./answer.ts";

export interface Footprint {
  readonly name: string;
  readonly target?: Target;
  /** What `outcome()` must be, of so many. */
  expects(count: number): unknown;
  readonly contenders: Readonly<Record<string, (count: number) => Kept | Promise<Kept>>>;
}

/** So many objects, which live as long as this does. */
export interface Kept {
  /** Lets all of them work, once, and tells what came of that; and closes them. */
  outcome(): unknown;
  /** How many of them an array keeps, whose slots are not theirs. */
  readonly listed?: number;
}

/** What a slot of an array takes: Node does not compress pointers. */
const slotBytes = 8;

/** Answers in bytes of heap each. */
export async function footprint(asked: Footprint, { quick }: Scale): Promise<Case> {
  const { name, target, contenders } = asked;
  // What is being optimised, in a thread of its own, is no garbage meanwhile.
  setFlagsFromString("--no-opt");
  const count = quick ? 500 : 10_000;
  const rounds = quick ? 1 : 3;
  const measured = Object.entries(contenders).map(([name, make]) => ({ name, make, samples: [] as number[] }));
  // What is made once.
  for (const { make } of measured) await once(make, 10);
  for (let round = 0; round < rounds; round++) {
    for (const { name: by, make, samples } of measured) {
      // What twice as many take more, so that what they share does not count.
      const [some, twice] = [await once(make, count), await once(make, 2 * count)];
      samples.push(Math.round((twice.bytes - some.bytes) / count));
      deepStrictEqual(some.outcome, asked.expects(count), `${name}: those of ${by} did other work`);
    }
  }
  const results = measured.map(({ name, samples }) => ({ name, samples }));
  return { name, unit: "bytes", contenders: results, ...(target && { target }) };
}

/** A function of its own, as what an async function holds would live on in the next round. */
async function once(
  make: Footprint["contenders"][string],
  count: number,
): Promise<{ bytes: number; outcome: unknown }> {
  const before = await heap();
  const kept = await make(count);
  const after = await heap();
  return { bytes: after - before - slotBytes * (kept.listed ?? 0), outcome: await kept.outcome() };
}

async function heap(): Promise<number> {
  // What waits for the event loop, as removing a listener, is done first; weak references need a second collection.
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    globalThis.gc!();
  }
  return process.memoryUsage().heapUsed;
}
