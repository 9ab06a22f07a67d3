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
  title: "How long does it take from a set to the consumer that waits for it?",
  about:
    "A get is called, then the value is set, then the get awaited, again and again; counted is one such round. The sum of " +
    "what was delivered must be that of what was set.",
  processes: 3,
  async ask(scale) {
    const work = {
      name: "a round",
      target: { atMost: 2.3 },
      expects: sumTo,
      contenders: {
        "event-value": () => round(eventValue),
        "rxjs BehaviorSubject": () => round(behaviorSubject),
        "EventEmitter, slot": () => round(emitter),
        "preact signals": () => round(signals),
        "events.on": () => eventsOn.waking(1),
        "effect SubscriptionRef": () => effect.waking(1),
      },
    };
    return { cases: [await compare(work, scale)] };
  },
};
export default question;

async function rounds(state: State, watcher: StateWatcher, operations: number): Promise<number> {
  let sum = 0;
  for (let i = 1; i <= operations; i++) {
    const next = watcher.get();
    state.set(i);
    sum = (sum + (await next)) | 0;
  }
  return sum;
}

async function round(make: () => State): Promise<Subject> {
  const state = make();
  const [watcher] = await readers(state, 1);
  const loop = copyOf(rounds);
  let sum = 0;
  return {
    async run(operations) {
      sum = await loop(state, watcher!, operations);
    },
    outcome: () => sum,
  };
}
