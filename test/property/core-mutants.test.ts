/**
 * A test of the test: each of these ways to get watchers and values wrong is found by the very runs that find nothing
 * wrong with them. A mutant is the core with one place of its source replaced.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Core, loadCore } from "../support/compiled.ts";
import { seed } from "../support/seed.ts";
import { drive, type Kind, runs } from "./core-model.ts";

/** What is wrong, the text that is right, and what stands there instead. */
type Mutant = readonly [wrong: string, right: string, instead: string];

const watchers: readonly Mutant[] = [
  ["lets two gets pend", "if (this.settle) return rejected(concurrentGet());", ""],
  ["takes a value though the signal is aborted", "if (signal?.aborted) return rejected(signal.reason);", ""],
  ["takes what the filter refuses", "if (!filter || filter(value)) {", "{"],
  ["asks a filter only once", "} while (!this.closed && !signal?.aborted);", "} while (false);"],
  ["forgets that it waits when a filter refused", "if (!this.attempt()) this.waiting.add(this);", "this.attempt();"],
  ["does not wait", "this.waiting.add(this);\n    if (signal)", "if (signal)"],
  ["does not hear of aborts while it waits", "if (signal) this.request.await(signal);", ""],
  ["does not say why its signal closed it", "if (until?.aborted) return rejected(until.reason);", ""],
  [
    "says that its signal closed it after something else did",
    "if (!request.until?.aborted) request.until = undefined;",
    "",
  ],
  [
    "has loops fail when it is closed",
    "return iterating ? Promise.resolve(done) : rejected(closed());",
    "return rejected(closed());",
  ],
  [
    "has gets give the result of an iterator",
    "this.settled()(iterating ? { done: false, value } : value);",
    "this.settled()({ done: false, value });",
  ],
  [
    "is not closed by leaving a loop",
    "    this.close();\n    return Promise.resolve(done);",
    "    return Promise.resolve(done);",
  ],
  [
    "leaves a get pending when it is closed",
    "if (waits) this.attempt();\n    else if (!this.settle) this.leave();",
    "this.leave();",
  ],
  ["stays registered when it is closed while a get is pending", "if (this.closed) this.leave();", ""],
  [
    "waits for news though only the backlog is wanted",
    "else if (value === NOTHING && request.backlogOnly) this.answer(rejected(backlogDone()));",
    "",
  ],
  ["waits for news of a value that has ended", "if (value === ENDED) this.before = nowhere;", ""],
  ["wakes only who waits longest", "for (let left = this.size; left", "for (let left = 1; left"],
  ["forgets why a filter threw", "this.answer(rejected(error));\n    }", "this.answer(rejected(undefined));\n    }"],
];

const memory: readonly Mutant[] = [
  [
    "gives each value twice",
    "this.seen = value.version;\n",
    "this.seen += value.version - this.seen === 0.5 ? 0.5 : value.version - this.seen - 0.5;\n",
  ],
  ["does not wake who waits", "this.version++;\n    this.waiting.wake();", "this.version++;"],
  [
    "drops a value that equals the one before",
    "this.current = value;\n",
    "if (this.current === value) return;\n    this.current = value;\n",
  ],
  [
    "is set after its end",
    "    if (this.ended) throw closed();\n    this.current = value;",
    "    this.current = value;",
  ],
  [
    "is watched after its end",
    "    if (this.ended) throw closed();\n    this.watcherCount++;",
    "    this.watcherCount++;",
  ],
  ["lets who waits wait on when it ends", "this.ended = true;\n    this.waiting.wake();", "this.ended = true;"],
  [
    "forgets its last value when it ends",
    "if (this.seen === value.version) return value.ended ? ENDED : NOTHING;",
    "if (value.ended) return ENDED;\n    if (this.seen === value.version) return NOTHING;",
  ],
  ["counts closed watchers", "this.value!.watcherCount--;", ""],
  ["has a new watcher begin with the next value", "this.seen = 0;", "this.seen = value.version;"],
];

const lockstep: readonly Mutant[] = [
  [
    "resolves a set at its turn",
    "if (this.#owed === 0) this.#delivered();\n    else this.waiting.wake();",
    "if (this.#owed > 0) this.waiting.wake();\n    if (this.#delivery) this.#delivered();",
  ],
  ["resolves a set at its call", "if (this.#owed === 0) {\n      this.#advance();", "{\n      this.#advance();"],
  ["gives the next turn too early", "if (this.#lacking > 0) break;", ""],
  ["gives the next turn when those have the value who were there at the turn", "if (inDelivery) this.#lacking++;", ""],
  [
    "counts who joined later as if they were there at the turn",
    "if (watcher.joined === this.version) {",
    "if (false) {",
  ],
  ["is blocked by a watcher that closed", "if (this.#seen !== value.version) value.taken(this);", ""],
  [
    "computes an update at the call",
    "return this.#enqueue(change, options?.signal, true) as Promise<T>;",
    "const early = change(this.current);\n    return this.#enqueue(() => early, options?.signal, true) as Promise<T>;",
  ],
  ["answers a set", "this.#resolve(this.#answers ? value : undefined);", "this.#resolve(value);"],
  ["leaves queued sets pending at its end", "for (const turn of this.#queue) turn.fail(closed());", ""],
  ["does not hear of aborts of sets", "else turn.await(signal);", ""],
  [
    "queues a set whose signal is aborted",
    "if (signal !== undefined && signal.aborted) return Promise.reject(signal.reason as Error);",
    "",
  ],
  [
    "gives no turn after an update that failed",
    "turn.fail(error);\n      return;",
    "turn.fail(error);\n      this.#lacking = 1;\n      return;",
  ],
  ["takes turns only when a set is called", "if (--this.#lacking === 0) this.#advance();", "--this.#lacking;"],
  ["lets who waits wait on when it ends", "turn.fail(closed());\n    this.waiting.wake();", "turn.fail(closed());"],
  [
    "has a new watcher begin with the next value",
    "this.joined = value.version;",
    "this.joined = this.#seen = value.version;",
  ],
];

const suites: readonly (readonly [file: string, kinds: readonly Kind[], mutants: readonly Mutant[]])[] = [
  ["internal/pull-watcher.ts", ["MemoryValue", "LockstepValue"], watchers],
  ["memory/memory-value.ts", ["MemoryValue"], memory],
  ["memory/lockstep-value.ts", ["LockstepValue"], lockstep],
];

/** What the runs find wrong with a value of `core`, if anything. */
async function findDifference(core: Core, kind: Kind, numRuns: number): Promise<unknown> {
  const property = fc.asyncProperty(runs, (steps) => drive(core, kind, steps));
  const { failed, errorInstance } = await fc.check(property, { seed, numRuns, endOnFailure: true });
  return failed ? errorInstance : undefined;
}

describe(`the runs of watchers and values (seed ${seed})`, () => {
  test("find nothing wrong with the core itself, compiled as its mutants are", async () => {
    const core = await loadCore();
    for (const kind of ["MemoryValue", "LockstepValue"] as const) {
      expect(await findDifference(core, kind, 300)).toBeUndefined();
    }
  });

  describe.each(suites)("of %s", (file, kinds, mutants) => {
    test.each(mutants)("find one that %s", async (_wrong, right, instead) => {
      const mutant = await loadCore([{ file, right, instead }]);
      const found = await Promise.all(kinds.map((kind) => findDifference(mutant, kind, 1500)));
      expect(
        found.some((error) => error !== undefined),
        "the mutant survived",
      ).toBe(true);
    });
  });
});
