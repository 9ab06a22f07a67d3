import type { Question } from "../harness/answer.ts";
import { compare, type Subject } from "../harness/compare.ts";
import * as effect from "./peers/effect.ts";
import { emitter } from "./peers/emitter.ts";
import { eventValue } from "./peers/event-value.ts";
import * as eventsOn from "./peers/events-on.ts";
import { behaviorSubject } from "./peers/rxjs.ts";
import { signals } from "./peers/signals.ts";
import { copyOf, type State, watchers } from "./peers/state.ts";

const question: Question = {
  title: "What does a set cost beside watchers that do not wait?",
  about:
    "A loop of sets, with so many watchers open whose consumers are busy; counted is one set. Each watcher must then have " +
    "the newest value, and Effect's fibers each of them. Of `events.on` there are no 10,000, as an idle one takes 35 kB.",
  processes: 3,
  async ask(scale) {
    const cases = [];
    for (const count of [0, 100, 10_000]) {
      const work = {
        name: `${count.toLocaleString("en")} idle watchers`,
        target: { atMost: 0.15 },
        expects: (operations: number) => operations * (1 + count),
        contenders: {
          "event-value": () => setting(eventValue, count),
          "rxjs BehaviorSubject": () => setting(behaviorSubject, count),
          "EventEmitter, slots": () => setting(emitter, count),
          "preact signals": () => setting(signals, count),
          ...(count <= 100 && { "events.on": () => eventsOn.setting(count) }),
          "effect SubscriptionRef": () => effect.setting(count),
        },
      };
      cases.push(await compare(work, scale));
    }
    return { cases };
  },
};
export default question;

function sets(state: State, operations: number): void {
  for (let i = 1; i <= operations; i++) state.set(i);
}

function setting(make: () => State, count: number): Subject {
  const state = make();
  const idle = watchers(state, count);
  const loop = copyOf(sets);
  return {
    run: (operations) => loop(state, operations),
    async outcome() {
      const late = state.watch();
      let sum = await late.get();
      late.close();
      for (const watcher of idle) sum += await watcher.get();
      return sum;
    },
  };
}
