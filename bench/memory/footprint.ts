import type { Question } from "../harness/answer.ts";
import { footprint, type Kept } from "../harness/footprint.ts";
import * as effect from "./peers/effect.ts";
import { emitter } from "./peers/emitter.ts";
import { eventValue } from "./peers/event-value.ts";
import * as eventsOn from "./peers/events-on.ts";
import { behaviorSubject } from "./peers/rxjs.ts";
import { signals } from "./peers/signals.ts";
import { readers, type State, type StateWatcher, watchers } from "./peers/state.ts";

const makers: Readonly<Record<string, () => State>> = {
  "event-value": eventValue,
  "rxjs BehaviorSubject": behaviorSubject,
  "EventEmitter, slots": emitter,
  "preact signals": signals,
};

const question: Question = {
  title: "How much memory does a watcher take?",
  about:
    "Watchers of one value, in bytes of heap each: what 20,000 take more than 10,000. They are idle, or have a get pending, " +
    "or each has its consumer, an async function or a fiber that waits. Then the value is set: each of them must deliver it. " +
    "Effect's fibers are watchers only as long as they wait. `events.on` stands for itself where it is idle and in the loop it " +
    "is made for; what a get of it keeps comes on top of either, and is left out.",
  async ask(scale) {
    const kept = (
      keep: (state: State, count: number) => Kept | Promise<Kept>,
    ): Record<string, (count: number) => Kept | Promise<Kept>> =>
      Object.fromEntries(Object.entries(makers).map(([name, make]) => [name, (count) => keep(make(), count)]));
    const expects = (count: number): number => count;
    return {
      cases: [
        await footprint(
          { name: "idle", target: { atMost: 80 }, expects, contenders: { ...kept(idle), "events.on": eventsOn.idle } },
          scale,
        ),
        await footprint({ name: "a get pending", target: { atMost: 250 }, expects, contenders: kept(blocked) }, scale),
        await footprint(
          {
            name: "with a consumer in get()",
            target: { atMost: 660 },
            expects,
            contenders: { ...kept(consumed(getting)), "effect SubscriptionRef": effect.waiting },
          },
          scale,
        ),
        await footprint(
          {
            name: "with a consumer in `for await`",
            target: { atMost: 660 },
            expects,
            contenders: { ...kept(consumed(iterating)), "events.on": eventsOn.consumed },
          },
          scale,
        ),
      ],
    };
  },
};
export default question;

function idle(state: State, count: number): Kept {
  const kept = watchers(state, count);
  return {
    listed: count,
    async outcome() {
      state.set(1);
      let sum = 0;
      for (const watcher of kept) sum += await watcher.get();
      return sum;
    },
  };
}

async function blocked(state: State, count: number): Promise<Kept> {
  const pending = (await readers(state, count)).map((watcher) => watcher.get());
  return {
    listed: count,
    async outcome() {
      state.set(1);
      let sum = 0;
      for (const get of pending) sum += await get;
      return sum;
    },
  };
}

function consumed(consume: Consume): (state: State, count: number) => Promise<Kept> {
  return async (state, count) => {
    let sum = 0;
    const delivered = (value: number): void => void (sum += value);
    // What keeps them is that they wait.
    for (const watcher of await readers(state, count)) void consume(watcher, delivered);
    return {
      async outcome() {
        state.set(1);
        await new Promise((resolve) => setImmediate(resolve));
        return sum;
      },
    };
  };
}

type Consume = (watcher: StateWatcher, delivered: (value: number) => void) => Promise<void>;

async function getting(watcher: StateWatcher, delivered: (value: number) => void): Promise<void> {
  delivered(await watcher.get());
  watcher.close();
}

async function iterating(watcher: StateWatcher, delivered: (value: number) => void): Promise<void> {
  for await (const value of watcher) {
    delivered(value);
    break;
  }
}
