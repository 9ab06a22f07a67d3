/**
 * Node's `events.on`: an iterator over an emitter's events. It does not conflate: its queue grows while the consumer is
 * slow. Who comes late gets nothing. An idle one takes 35 kB, so there are never many.
 */
import { EventEmitter, on } from "node:events";
import type { Subject } from "../../harness/compare.ts";
import type { Kept } from "../../harness/footprint.ts";

type Events = AsyncIterableIterator<[number]>;

function emitterWith(watchers: number): { changes: EventEmitter; events: Events[] } {
  const changes = new EventEmitter().setMaxListeners(0);
  return { changes, events: Array.from({ length: watchers }, () => on(changes, "change") as Events) };
}

export function setting(count: number): Subject {
  const { changes, events } = emitterWith(count);
  let newest = 0;
  return {
    run(operations) {
      for (let i = 1; i <= operations; i++) changes.emit("change", (newest = i));
    },
    async outcome() {
      let sum = newest;
      for (const watcher of events) {
        let value;
        do [value] = (await watcher.next()).value;
        while (value !== newest);
        sum += value;
      }
      return sum;
    },
  };
}

/** Each set wakes all of `count`, which wait. */
export function waking(count: number): Subject {
  const { changes, events } = emitterWith(count);
  const pending: Promise<IteratorResult<[number]>>[] = [];
  let sum = 0;
  return {
    async run(operations) {
      sum = 0;
      for (let i = 1; i <= operations; i++) {
        for (let w = 0; w < count; w++) pending[w] = events[w]!.next();
        changes.emit("change", i);
        for (let w = 0; w < count; w++) sum = (sum + (await pending[w]!).value[0]) | 0;
      }
    },
    outcome: () => sum,
  };
}

/** What was emitted is there when it is asked for. */
export function reading(): Subject {
  const { changes, events } = emitterWith(1);
  const [watcher] = events;
  let sum = 0;
  return {
    async run(operations) {
      sum = 0;
      for (let i = 1; i <= operations; i++) {
        changes.emit("change", i);
        sum = (sum + (await watcher!.next()).value[0]) | 0;
      }
    },
    outcome: () => sum,
  };
}

/** A loop for whose next value `next` provides. */
export function looping(next: (set: () => void) => void): Subject {
  const { changes } = emitterWith(0);
  let sum = 0;
  return {
    async run(operations) {
      sum = 0;
      let following = 1;
      const set = (): void => void changes.emit("change", following);
      const events = on(changes, "change") as Events;
      set();
      for await (const [value] of events) {
        sum = (sum + value) | 0;
        if (value === operations) break;
        following = value + 1;
        next(set);
      }
    },
    outcome: () => sum,
  };
}

export function idle(count: number): Kept {
  const { changes, events } = emitterWith(count);
  return {
    async outcome() {
      changes.emit("change", 1);
      let sum = 0;
      for (const watcher of events) sum += (await watcher.next()).value[0];
      return sum;
    },
  };
}

export function consumed(count: number): Kept {
  const { changes, events } = emitterWith(count);
  let sum = 0;
  const consume = async (watcher: Events): Promise<void> => {
    for await (const [value] of watcher) {
      sum += value;
      break;
    }
  };
  for (const watcher of events) void consume(watcher);
  return {
    async outcome() {
      changes.emit("change", 1);
      await new Promise((resolve) => setImmediate(resolve));
      return sum;
    },
  };
}
