import type { Question } from "../harness/answer.ts";
import { compare, type Subject } from "../harness/compare.ts";
import * as effect from "./peers/effect.ts";
import { emitter } from "./peers/emitter.ts";
import { eventValue } from "./peers/event-value.ts";
import * as eventsOn from "./peers/events-on.ts";
import { behaviorSubject } from "./peers/rxjs.ts";
import { signals } from "./peers/signals.ts";
import { copyOf, type State, sumTo } from "./peers/state.ts";

/**
 * The body of the loop sets the next value: that adds a set and nothing else, so the target holds for it. Where the loop
 * is to wait, a microtask sets, which adds a hop.
 */
const question: Question = {
  title: "What does a `for await` loop cost?",
  about:
    "The body of the loop sets the next value, so that there is one when it asks; or has a microtask set it, so that it " +
    "waits. Counted is one delivery with its set, and its microtask. The sum of what was delivered must be that of what was set.",
  processes: 3,
  async ask(scale) {
    const contenders = (next: (set: () => void) => void, waits: boolean): Record<string, () => Subject> => ({
      "event-value": () => looping(eventValue, next),
      "rxjs BehaviorSubject": () => looping(behaviorSubject, next),
      "EventEmitter, slot": () => looping(emitter, next),
      "preact signals": () => looping(signals, next),
      "events.on": () => eventsOn.looping(copyOf(next)),
      "effect SubscriptionRef": () => effect.looping(waits),
    });
    const at = (set: () => void): void => set();
    const soon = (set: () => void): void => void Promise.resolve().then(set);
    const ready = {
      name: "a value is there",
      target: { atMost: 2.9 },
      expects: sumTo,
      contenders: contenders(at, false),
    };
    const waiting = { name: "it waits", expects: sumTo, contenders: contenders(soon, true) };
    return { cases: [await compare(ready, scale), await compare(waiting, scale)] };
  },
};
export default question;

async function loops(state: State, operations: number, next: (set: () => void) => void): Promise<number> {
  let sum = 0;
  let following = 1;
  const set = (): void => state.set(following);
  set();
  for await (const value of state.watch()) {
    sum = (sum + value) | 0;
    if (value === operations) break;
    following = value + 1;
    next(set);
  }
  return sum;
}

function looping(make: () => State, next: (set: () => void) => void): Subject {
  const state = make();
  const loop = copyOf(loops);
  const own = copyOf(next);
  let sum = 0;
  return {
    async run(operations) {
      sum = await loop(state, operations, own);
    },
    outcome: () => sum,
  };
}
