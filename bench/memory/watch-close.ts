import type { Question } from "../harness/answer.ts";
import { compare, type Subject } from "../harness/compare.ts";
import { emitter } from "./peers/emitter.ts";
import { eventValue } from "./peers/event-value.ts";
import { behaviorSubject } from "./peers/rxjs.ts";
import { signals } from "./peers/signals.ts";
import { copyOf, type State, type StateWatcher, watchers } from "./peers/state.ts";

const others = 10_000;

const question: Question = {
  title: "What does it cost to open and close a watcher among 10,000?",
  about:
    "A watcher is opened and closed at once; or one is opened and the oldest closed. Counted is one such pair. After a set " +
    "all that are open must have the value, and the one closed last must not. Left out are `events.on`, of which there " +
    "cannot be 10,000, and Effect, whose fibers begin and end in later turns of the event loop.",
  processes: 3,
  async ask(scale) {
    const cases = [];
    for (const [name, loop] of [
      ["open, close it", newest],
      ["open, close the oldest", oldest],
    ] as const) {
      const work = {
        name,
        target: { atMost: 0.5 },
        expects: () => ({ delivered: others, closed: "nothing" }),
        contenders: {
          "event-value": () => opening(eventValue, loop),
          "rxjs BehaviorSubject": () => opening(behaviorSubject, loop),
          "EventEmitter, slots": () => opening(emitter, loop),
          "preact signals": () => opening(signals, loop),
        },
      };
      cases.push(await compare(work, scale));
    }
    return { cases };
  },
};
export default question;

type Loop = (state: State, open: StateWatcher[], operations: number) => StateWatcher | undefined;

/** Both return the watcher that was closed last. */
function newest(state: State, _open: StateWatcher[], operations: number): StateWatcher | undefined {
  let closed;
  for (let i = 0; i < operations; i++) {
    closed = state.watch();
    closed.close();
  }
  return closed;
}

function oldest(state: State, open: StateWatcher[], operations: number): StateWatcher | undefined {
  let closed;
  for (let i = 0; i < operations; i++) {
    const at = i % open.length;
    closed = open[at]!;
    closed.close();
    open[at] = state.watch();
  }
  return closed;
}

function opening(make: () => State, loop: Loop): Subject {
  const state = make();
  const open = watchers(state, others);
  const own = copyOf(loop);
  let closed: StateWatcher;
  let set = 0;
  return {
    run(operations) {
      closed = own(state, open, operations)!;
    },
    async outcome() {
      // What it was given while it was open.
      await delivery(closed);
      state.set(++set);
      let delivered = 0;
      for (const watcher of open) if ((await watcher.get()) === set) delivered++;
      return { delivered, closed: await delivery(closed) };
    },
  };
}

/** What a get of a closed watcher gives: some reject, some are never settled. */
function delivery(closed: StateWatcher): Promise<unknown> {
  const nothing = "nothing";
  const got = closed.get().catch(() => nothing);
  return Promise.race([got, new Promise((resolve) => setImmediate(() => resolve(nothing)))]);
}
