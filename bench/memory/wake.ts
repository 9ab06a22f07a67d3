import type { Question } from "../harness/answer.ts";
import { compare, type Subject } from "../harness/compare.ts";
import * as effect from "./peers/effect.ts";
import { emitter } from "./peers/emitter.ts";
import { eventValue } from "./peers/event-value.ts";
import * as eventsOn from "./peers/events-on.ts";
import { behaviorSubject } from "./peers/rxjs.ts";
import { signals } from "./peers/signals.ts";
import { copyOf, readers, type State, type StateWatcher, sumTo } from "./peers/state.ts";

const question: Question = {
  title: "What does it cost to wake many watchers?",
  about:
    "All watchers have a get pending; one set, and all gets are awaited, one after the other. Counted is one watcher of " +
    "one set, with its get. The sum of what all were delivered must be that of what was set, times their number. Of " +
    "`events.on` there are no 10,000, as each takes 35 kB.",
  processes: 3,
  async ask(scale) {
    const cases = [];
    for (const [count, atMost] of [
      [100, 2.6],
      [10_000, 4],
    ] as const) {
      const work = {
        name: `each of ${count.toLocaleString("en")} waiting`,
        target: { atMost },
        parts: count,
        expects: (operations: number) => Math.imul(sumTo(operations), count),
        contenders: {
          "event-value": () => wake(eventValue, count),
          "rxjs BehaviorSubject": () => wake(behaviorSubject, count),
          "EventEmitter, slots": () => wake(emitter, count),
          "preact signals": () => wake(signals, count),
          ...(count <= 100 && { "events.on": () => eventsOn.waking(count) }),
          "effect SubscriptionRef": () => effect.waking(count),
        },
      };
      cases.push(await compare(work, scale));
    }
    return { cases };
  },
};
export default question;

async function waves(state: State, watchers: readonly StateWatcher[], operations: number): Promise<number> {
  const pending: Promise<number>[] = [];
  let sum = 0;
  for (let i = 1; i <= operations; i++) {
    for (let w = 0; w < watchers.length; w++) pending[w] = watchers[w]!.get();
    state.set(i);
    for (let w = 0; w < watchers.length; w++) sum = (sum + (await pending[w]!)) | 0;
  }
  return sum;
}

async function wake(make: () => State, count: number): Promise<Subject> {
  const state = make();
  const waiting = await readers(state, count);
  const loop = copyOf(waves);
  let sum = 0;
  return {
    async run(operations) {
      sum = await loop(state, waiting, operations);
    },
    outcome: () => sum,
  };
}
