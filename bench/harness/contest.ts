/**
 * Compares contenders that have a client of a store each: every one works in a process of its own, so that the CPU time
 * and the memory are its own, and takes turns with the others.
 *
 * The process prepares its work, is told to go, and is measured until it has done it.
 */
import { fork } from "node:child_process";
import { deepStrictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Case, Target } from "./answer.ts";
import { compiled } from "./compiled.ts";

/** What a contender is to work on: whatever its question says, in a form that can be sent to a process. */
export type Job = { readonly endpoint: string } & Readonly<Record<string, string | number>>;

/** A contender that is ready to begin. */
export interface Prepared {
  /** Does the work; this is measured. */
  run(): Promise<void>;
  /** What has come of it, to be the same for all contenders. */
  outcome(): unknown;
  /** Figures of its own beside those of the process, by name. */
  figures?(): Figures | Promise<Figures>;
}

/** A contender, run in a process of its own by the name under which its module exports it in `contenders`. */
export type Contender = (job: Job) => Promise<Prepared>;

/** What the process measures: of the work alone, but for `memory`. */
export interface Measured {
  readonly outcome: unknown;
  /** Each with one sample or more. `cpu` and `time` in ms; `memory`, in bytes, is what the heap has grown by since before the preparation. */
  readonly figures: Figures;
}

export type Figures = Readonly<Record<string, readonly number[]>>;

/** A process that is prepared. */
export interface Standby {
  /** Lets it work; resolves with what it measured, and the process ends. `meanwhile` is called when it has begun. */
  readonly go: (meanwhile?: () => Promise<unknown>) => Promise<Measured>;
}

/** Starts a process for a contender of `module`, and resolves when it is ready to begin. */
export async function standby(module: string, contender: string, job: Job): Promise<Standby> {
  const script = fileURLToPath(new URL("contend.mjs", import.meta.url));
  const child = fork(script, [await compiled(module), contender, JSON.stringify(job)], {
    execArgv: ["--expose-gc", "--no-warnings"],
    serialization: "advanced",
  });
  let settle: { resolve(message: unknown): void; reject(error: Error): void } | undefined;
  const next = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
  child.on("message", (message) => settle?.resolve(message));
  child.on("error", (error) => settle?.reject(error));
  child.on("exit", (code, signal) =>
    settle?.reject(new Error(`${contender} ended with ${signal ?? `code ${code}`} before it was done`)),
  );
  await next();
  return {
    async go(meanwhile) {
      child.send("go");
      await next();
      const [measured] = await Promise.all([next(), meanwhile?.()]);
      return measured as Measured;
    },
  };
}

/** Collects what contenders have measured, and holds that they did the same. */
export class Results {
  readonly #samples = new Map<string, Map<string, number[]>>();

  /** @throws `AssertionError` where `measured.outcome` is not what `expected` is. */
  add(contender: string, measured: Measured, expected: unknown): void {
    deepStrictEqual(measured.outcome, expected, `${contender} did other work`);
    for (const [name, values] of Object.entries(measured.figures)) {
      const of = this.#samples.get(name) ?? new Map<string, number[]>();
      this.#samples.set(name, of);
      of.set(contender, [...(of.get(contender) ?? []), ...values]);
    }
  }

  /** A case of one figure; `per` is what it is divided by. */
  case(name: string, of: string, options: { unit: string; per?: number; target?: Target }): Case {
    const { unit, per = 1, target } = options;
    const contenders = [...(this.#samples.get(of) ?? [])].map(([contender, samples]) => ({
      name: contender,
      samples: samples.map((sample) => sample / per),
    }));
    return { name, unit, contenders, ...(target && { target }) };
  }
}

/** Lets each contender of `module` do `job` in so many rounds, in another order each time. */
export async function contest(
  module: string,
  names: readonly string[],
  job: Job,
  { rounds, expects }: { rounds: number; expects: unknown },
): Promise<Results> {
  const results = new Results();
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length]!;
      results.add(name, await (await standby(module, name, job)).go(), expects);
    }
  }
  return results;
}
