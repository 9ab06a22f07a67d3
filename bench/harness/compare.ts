/**
 * Compares what several contenders take for the same work, in one process: they take turns, in another order each
 * round, so that what else the machine does hits all of them.
 *
 * A *hop* is one `await` of a promise that is resolved: what a machine and its load make slower makes that slower as
 * well. It is measured beside every sample.
 */
import { deepStrictEqual } from "node:assert/strict";
import type { Case, Scale, Target } from "./answer.ts";

/** One contender, ready to work. */
export interface Subject {
  /** Does the work so many times; this is timed. */
  run(operations: number): void | Promise<void>;
  /** What has come of the last run, to be the same as the case `expects`; not timed. */
  outcome(): unknown;
  close?(): void | Promise<void>;
}

export interface Work {
  readonly name: string;
  readonly target?: Target;
  /** How many of what is counted make an operation; 1 if left out. */
  readonly parts?: number;
  /** What the work must have come to after so many operations. */
  expects(operations: number): unknown;
  readonly contenders: Readonly<Record<string, () => Subject | Promise<Subject>>>;
}

/** Answers in hops an operation, or a part of one. */
export async function compare(work: Work, { quick }: Scale): Promise<Case> {
  const atLeastMs = quick ? 4 : 25;
  const rounds = quick ? 5 : 11;
  const subjects = await Promise.all(
    Object.entries(work.contenders).map(async ([name, make]) => ({
      name,
      subject: await make(),
      // Not 1, so that no run begins with setting what the last one ended with: for signals that is nothing.
      operations: 2,
      samples: [] as number[],
    })),
  );
  const timed = async ({ name, subject, operations }: (typeof subjects)[number]): Promise<number> => {
    const start = performance.now();
    await subject.run(operations);
    const ms = performance.now() - start;
    deepStrictEqual(await subject.outcome(), work.expects(operations), `${work.name}: ${name} did other work`);
    return ms;
  };
  for (const each of subjects) {
    // Doubling warms it up as well. Twice, so that what interrupts one run does not pass for work.
    while (Math.min(await timed(each), await timed(each)) < atLeastMs) each.operations *= 2;
  }
  await hop(atLeastMs);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < subjects.length; i++) {
      const each = subjects[(i + round) % subjects.length]!;
      // What the others left. Not all garbage: that would throw away optimised code, and time how it is made again.
      globalThis.gc!({ type: "minor" });
      const before = await hop(atLeastMs / 4);
      const ms = await timed(each);
      const after = await hop(atLeastMs / 4);
      each.samples.push(ms / (each.operations * (work.parts ?? 1)) / ((before + after) / 2));
    }
  }
  for (const { subject } of subjects) await subject.close?.();
  const contenders = subjects.map(({ name, samples }) => ({ name, samples }));
  return { name: work.name, unit: "hops", contenders, ...(work.target && { target: work.target }) };
}

const resolved = Promise.resolve();

/** What one hop takes now, in ms. */
export async function hop(atLeastMs: number): Promise<number> {
  const burst = 2_000;
  let count = 0;
  const start = performance.now();
  let now: number;
  do {
    for (let i = 0; i < burst; i++) await resolved;
    count += burst;
    now = performance.now();
  } while (now - start < atLeastMs);
  return (now - start) / count;
}
