import { LockstepValue } from "event-value";
import type { Question } from "../harness/answer.ts";
import { compare, type Subject } from "../harness/compare.ts";
import * as effect from "./peers/effect.ts";
import { type Hands, Handshake, isAhead } from "./peers/handshake.ts";
import { copyOf, sumTo } from "./peers/state.ts";

const question: Question = {
  title: "What does it cost to hand over each value?",
  about:
    "A producer hands one value after the other to one consumer and waits each time until it has been taken; counted is " +
    "one value. The sum of what was taken must be that of what was set, and a set must not be over before its value was taken.",
  processes: 3,
  async ask(scale) {
    const work = {
      name: "a value handed over",
      target: { atMost: 4 },
      expects: (operations: number) => ({ sum: sumTo(operations), ahead: false }),
      contenders: {
        "event-value": () => handing(lockstepValue()),
        "by hand": () => handing(new Handshake()),
        "async generator": () => generator(),
        TransformStream: () => transformStream(),
        "effect Queue.bounded(0)": () => effect.handing(),
      },
    };
    return { cases: [await compare(work, scale)] };
  },
};
export default question;

async function puts(hands: Hands, operations: number): Promise<void> {
  for (let i = 1; i <= operations; i++) await hands.put(i);
}

async function takes(hands: Hands, operations: number): Promise<number> {
  let sum = 0;
  for (let i = 1; i <= operations; i++) sum = (sum + (await hands.take())!) | 0;
  return sum;
}

function handing(hands: Hands): Subject {
  const produce = copyOf(puts);
  const consume = copyOf(takes);
  let sum = 0;
  return {
    async run(operations) {
      [sum] = await Promise.all([consume(hands, operations), produce(hands, operations)]);
    },
    outcome: async () => ({ sum, ahead: await isAhead(hands) }),
  };
}

function lockstepValue(): Hands {
  const state = new LockstepValue<number>();
  const watcher = state.watch();
  return { put: (value) => state.set(value), take: () => watcher.get() };
}

/** The web's: without room, a write waits for a read. */
function transformStream(): Subject {
  const { writable, readable } = new TransformStream<number, number>();
  const writer = writable.getWriter();
  const reader = readable.getReader();
  const hands: Hands = {
    put: (value) => writer.write(value),
    take: () => reader.read().then(({ value }) => value),
  };
  let sum = 0;
  const consume = async (operations: number): Promise<void> => {
    sum = 0;
    for (let i = 1; i <= operations; i++) sum = (sum + (await reader.read()).value!) | 0;
  };
  return {
    async run(operations) {
      await Promise.all([consume(operations), puts(hands, operations)]);
    },
    outcome: async () => ({ sum, ahead: await isAhead(hands) }),
  };
}

/** The language's own: the one consumer drives the producer, which cannot be called from elsewhere. */
function generator(): Subject {
  let sum = 0;
  let made = 0;
  async function* produce(operations: number): AsyncGenerator<number, void, undefined> {
    for (made = 1; made <= operations; made++) yield made;
  }
  return {
    async run(operations) {
      sum = 0;
      for await (const value of produce(operations)) sum = (sum + value) | 0;
    },
    async outcome() {
      const values = produce(2);
      await values.next();
      await new Promise((resolve) => setImmediate(resolve));
      return { sum, ahead: made > 1 };
    },
  };
}
