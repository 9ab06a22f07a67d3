/**
 * Effect's `SubscriptionRef`, whose `changes` are read by fibers. It does not conflate: what a fiber has not read is
 * queued. Fibers that are woken run in a later turn of the event loop, which is most of what a single one takes.
 */
import { Effect, Fiber, Queue, Stream, SubscriptionRef } from "effect";
import type { Subject } from "../../harness/compare.ts";
import type { Kept } from "../../harness/footprint.ts";
import { type Hands, isAhead } from "./handshake.ts";

/** A state, and what its watchers were given since the last run; each is a fiber. */
class Watched {
  readonly ref = Effect.runSync(SubscriptionRef.make(0));
  readonly #fibers: Fiber.Fiber<void>[] = [];
  sum = 0;
  /** The sum over the watchers that have the value `#last`. */
  reached = 0;
  /** How many watchers lack the value `#last`, and who waits for 0. */
  #lacking = 0;
  #last = 0;
  #done: () => void = () => {};

  async open(count: number): Promise<void> {
    this.#lacking = count;
    const all = new Promise<void>((resolve) => (count === 0 ? resolve() : (this.#done = resolve)));
    const take = (value: number): Effect.Effect<void> =>
      Effect.sync(() => {
        this.sum = (this.sum + value) | 0;
        if (value !== this.#last) return;
        this.reached += value;
        if (--this.#lacking === 0) this.#done();
      });
    for (let i = 0; i < count; i++) {
      this.#fibers.push(Effect.runFork(Stream.runForEach(SubscriptionRef.changes(this.ref), take)));
    }
    await all;
  }

  /** No watcher has `value` yet. */
  expect(value: number): void {
    this.#last = value;
    this.#lacking = this.#fibers.length;
    this.reached = 0;
  }

  /** Sets `value`; resolves when all watchers have it. */
  readonly delivered = (value: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      this.expect(value);
      return Effect.andThen(
        SubscriptionRef.set(this.ref, value),
        Effect.callback<void>((resume) => {
          if (this.#lacking === 0) resume(Effect.void);
          else this.#done = () => resume(Effect.void);
        }),
      );
    });

  async close(): Promise<void> {
    await Effect.runPromise(Fiber.interruptAll(this.#fibers));
  }
}

async function watched(count: number): Promise<Watched> {
  const made = new Watched();
  await made.open(count);
  return made;
}

/** The last set of a run is waited for, so that all of them are delivered. */
export async function setting(count: number): Promise<Subject> {
  const state = await watched(count);
  return {
    run(operations) {
      state.expect(operations);
      return Effect.runPromise(
        Effect.gen(function* () {
          for (let i = 1; i < operations; i++) yield* SubscriptionRef.set(state.ref, i);
          yield* state.delivered(operations);
        }),
      );
    },
    outcome: () => state.ref.value + state.reached,
    close: () => state.close(),
  };
}

/** Each set wakes all of `count`, which wait, and waits for them. */
export async function waking(count: number): Promise<Subject> {
  const state = await watched(count);
  return {
    run(operations) {
      state.sum = 0;
      return Effect.runPromise(
        Effect.gen(function* () {
          for (let i = 1; i <= operations; i++) yield* state.delivered(i);
        }),
      );
    },
    outcome: () => state.sum,
    close: () => state.close(),
  };
}

/** The consumer of each value sets the next one, in its own fiber or by forking one. */
export function looping(forks: boolean): Subject {
  let sum = 0;
  return {
    async run(operations) {
      sum = 0;
      const ref = Effect.runSync(SubscriptionRef.make(1));
      const values = Stream.takeUntil(SubscriptionRef.changes(ref), (value) => value === operations);
      await Effect.runPromise(
        Stream.runForEach(values, (value) => {
          sum = (sum + value) | 0;
          if (value === operations) return Effect.void;
          const set = SubscriptionRef.set(ref, value + 1);
          return forks ? Effect.asVoid(Effect.forkChild(set)) : set;
        }),
      );
    },
    outcome: () => sum,
  };
}

/** A queue with no room: an offer waits for a take. */
export function handing(): Subject {
  const queue = Effect.runSync(Queue.bounded<number>(0));
  const hands: Hands = {
    put: (value) => Effect.runPromise(Queue.offer(queue, value)),
    take: () => Effect.runPromise(Queue.take(queue)),
  };
  let sum = 0;
  return {
    run(operations) {
      sum = 0;
      return Effect.runPromise(
        Effect.gen(function* () {
          const consumer = yield* Effect.forkChild(
            Effect.gen(function* () {
              for (let i = 1; i <= operations; i++) sum = (sum + (yield* Queue.take(queue))) | 0;
            }),
          );
          for (let i = 1; i <= operations; i++) yield* Queue.offer(queue, i);
          yield* Fiber.join(consumer);
        }),
      );
    },
    outcome: async () => ({ sum, ahead: await isAhead(hands) }),
  };
}

/** Fibers that wait. */
export async function waiting(count: number): Promise<Kept> {
  const state = await watched(count);
  return {
    async outcome() {
      state.sum = 0;
      await Effect.runPromise(state.delivered(1));
      await state.close();
      return state.sum;
    },
  };
}
