import { MemoryValue } from "event-value";
import type { Question } from "../harness/answer.ts";
import { compare, type Subject } from "../harness/compare.ts";
import { emitter } from "./peers/emitter.ts";
import { eventValue } from "./peers/event-value.ts";
import * as eventsOn from "./peers/events-on.ts";
import { behaviorSubject } from "./peers/rxjs.ts";
import { signals } from "./peers/signals.ts";
import { copyOf, readers, type State, type StateWatcher, sumTo } from "./peers/state.ts";

const question: Question = {
  title: "What does a get cost when there is a value?",
  about:
    "The value is set, then a get is called and awaited; counted is both, of which the set is little with us and more with " +
    "the others. The signal is never aborted, and given to each get anew. The sum of what was delivered must be that of what was set. " +
    "Effect is left out: its fibers are run later, so that there never is a value that is ready. None of the others can " +
    "give up a single get, so with a signal event-value is beside itself.",
  processes: 3,
  async ask(scale) {
    const plain = {
      name: "set and get",
      target: { atMost: 1.8 },
      expects: sumTo,
      contenders: {
        "event-value": () => reading(eventValue),
        "rxjs BehaviorSubject": () => reading(behaviorSubject),
        "EventEmitter, slot": () => reading(emitter),
        "preact signals": () => reading(signals),
        "events.on": () => eventsOn.reading(),
      },
    };
    const signalled = {
      name: "with an AbortSignal",
      target: { atMost: 1.3, than: "event-value, no signal" },
      expects: sumTo,
      contenders: {
        "event-value": () => readingWithSignal(),
        "event-value, no signal": () => reading(eventValue),
      },
    };
    return { cases: [await compare(plain, scale), await compare(signalled, scale)] };
  },
};
export default question;

async function reads(state: State, watcher: StateWatcher, operations: number): Promise<number> {
  let sum = 0;
  for (let i = 1; i <= operations; i++) {
    state.set(i);
    sum = (sum + (await watcher.get())) | 0;
  }
  return sum;
}

async function reading(make: () => State): Promise<Subject> {
  const state = make();
  const [watcher] = await readers(state, 1);
  const loop = copyOf(reads);
  let sum = 0;
  return {
    async run(operations) {
      sum = await loop(state, watcher!, operations);
    },
    outcome: () => sum,
  };
}

function readingWithSignal(): Subject {
  const state = new MemoryValue({ initial: 0 });
  const watcher = state.watch();
  const { signal } = new AbortController();
  let sum = 0;
  return {
    async run(operations) {
      sum = 0;
      for (let i = 1; i <= operations; i++) {
        state.set(i);
        sum = (sum + (await watcher.get({ signal }))) | 0;
      }
    },
    outcome: () => sum,
  };
}
