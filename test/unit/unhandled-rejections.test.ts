/** Promises that nobody holds: none becomes an unhandled rejection but that of a failed write. */
import { describe, expect, test } from "vitest";
import { type Child, resultInChild } from "../support/compiled.ts";

type Scenario = (child: Child) => unknown;

/** What is reported as unhandled while the scenarios run, each by its name. */
async function unhandledIn(scenarios: Readonly<Record<string, Scenario>>): Promise<string[]> {
  const prelude = `globalThis.scenarios = {${Object.entries(scenarios)
    .map(([name, scenario]) => `${JSON.stringify(name)}: ${scenario.toString()}`)
    .join(",")}};`;
  return resultInChild(
    async (child) => {
      const unhandled: string[] = [];
      let name = "";
      process.on("unhandledRejection", () => unhandled.push(name));
      const all = (globalThis as unknown as { scenarios: Record<string, Scenario> }).scenarios;
      for (const [title, scenario] of Object.entries(all)) {
        name = title;
        await scenario(child);
        for (let i = 0; i < 5; i++) await child.timers.setImmediate();
      }
      return unhandled;
    },
    { prelude },
  );
}

describe("a promise that nobody holds", () => {
  test("of a get, or of an iterator's next(), rejects unnoticed", async () => {
    const scenarios: Record<string, Scenario> = {
      "pending get, closed": ({ core }) => {
        for (const value of [new core.MemoryValue(), new core.LockstepValue()]) {
          const watcher = value.watch();
          void watcher.get();
          watcher.close();
        }
      },
      "pending get, aborted": ({ core }) => {
        const controller = new AbortController();
        void new core.MemoryValue().watch().get({ signal: controller.signal });
        void new core.LockstepValue().watch().get({ signal: controller.signal, filter: () => true });
        controller.abort();
      },
      "pending get, watch signal aborted": ({ core }) => {
        const controller = new AbortController();
        void new core.MemoryValue().watch({ signal: controller.signal }).get();
        controller.abort();
      },
      "pending get, value ended": ({ core }) => {
        for (const value of [new core.MemoryValue(), new core.LockstepValue()]) {
          void value.watch().get();
          value.close();
        }
      },
      "pending get, its filter throws": ({ core }) => {
        const value = new core.MemoryValue();
        const fail = (): never => {
          throw new Error("filter");
        };
        void value.watch().get({ filter: fail });
        value.set(1);
        void value.watch().get({ filter: fail });
      },
      "get of a closed watcher, with an aborted signal, of nothing, while another is pending": ({ core }) => {
        const value = new core.MemoryValue();
        const watcher = value.watch();
        watcher.close();
        void watcher.get();
        void value.watch().get({ signal: AbortSignal.abort() });
        void value.watch().get({ backlogOnly: true });
        const busy = value.watch();
        void busy.get();
        void busy.get();
        void value.watch({ signal: AbortSignal.abort() }).get();
      },
      "next(), closed, aborted, concurrent": ({ core }) => {
        const value = new core.MemoryValue();
        const controller = new AbortController();
        for (const watchable of [value, core.map(value, (v) => v), core.combine([value, value])]) {
          const iterator = watchable.watch({ signal: controller.signal })[Symbol.asyncIterator]();
          void iterator.next();
          void iterator.next();
          const closing = watchable.watch();
          void closing[Symbol.asyncIterator]().next();
          closing.close();
        }
        controller.abort();
        void value.watch({ signal: controller.signal })[Symbol.asyncIterator]().next();
      },
      "get of a derived watcher": ({ core }) => {
        const value = new core.MemoryValue({ initial: 1 });
        const fail = (): never => {
          throw new Error("operator");
        };
        for (const derived of [
          core.map(value, fail),
          core.filter(value, fail),
          core.distinctUntilChanged(value, fail),
        ]) {
          const watcher = derived.watch();
          void watcher.get();
          void watcher.get();
          watcher.close();
          void watcher.get();
          void derived.watch().get({ signal: AbortSignal.abort() });
        }
      },
      "get of a combined watcher": ({ core }) => {
        const value = new core.MemoryValue({ initial: 1 });
        const fail = core.map(value, (): never => {
          throw new Error("member");
        });
        void core.combine([value, fail]).watch().get();
        const unset = core.combine({ value, unset: new core.MemoryValue() });
        const controller = new AbortController();
        void unset.watch().get({ signal: controller.signal });
        void unset.watch({ signal: controller.signal }).get();
        controller.abort();
        const watcher = unset.watch();
        void watcher.get();
        void watcher.get();
        watcher.close();
        void watcher.get();
      },
    };
    expect(await unhandledIn(scenarios)).toEqual([]);
  });

  test("of waitFor rejects unnoticed", async () => {
    const scenarios: Record<string, Scenario> = {
      aborted: ({ core }) => {
        const controller = new AbortController();
        void core.waitFor(new core.MemoryValue(), () => true, { signal: controller.signal });
        controller.abort();
      },
      "already aborted": ({ core }) => {
        void core.waitFor(new core.MemoryValue(), () => true, { signal: AbortSignal.abort() });
      },
      "value ended": ({ core }) => {
        const value = new core.MemoryValue();
        void core.waitFor(value, () => true);
        value.close();
        void core.waitFor(value, () => true);
      },
      "predicate throws": ({ core }) => {
        void core.waitFor(new core.MemoryValue({ initial: 1 }), () => {
          throw new Error("predicate");
        });
      },
    };
    expect(await unhandledIn(scenarios)).toEqual([]);
  });

  test("of pipeTo rejects unnoticed, unless a write failed", async () => {
    const scenarios: Record<string, Scenario> = {
      "aborted while waiting": ({ core }) => {
        const controller = new AbortController();
        const source = new core.MemoryValue();
        void core.pipeTo(source, () => {}, { signal: controller.signal });
        void core.pipeTo(source, new WritableStream(), { signal: controller.signal });
        void core.pipeTo(source, new core.LockstepValue(), { signal: controller.signal });
        controller.abort();
      },
      "aborted while the sink is busy, which fails later": async ({ core, timers }) => {
        const controller = new AbortController();
        let fail!: (error: Error) => void;
        const busy = new Promise<void>((_, reject) => (fail = reject));
        void core.pipeTo(new core.MemoryValue({ initial: 1 }), () => busy, { signal: controller.signal });
        const stream = new WritableStream({ write: () => busy });
        void core.pipeTo(new core.MemoryValue({ initial: 1 }), stream, { signal: controller.signal });
        await timers.setImmediate();
        controller.abort();
        await timers.setImmediate();
        fail(new Error("late"));
      },
      "already aborted": ({ core }) => {
        void core.pipeTo(new core.MemoryValue(), () => {}, { signal: AbortSignal.abort() });
      },
      "source fails": ({ core }) => {
        const failing = core.map(new core.MemoryValue({ initial: 1 }), () => {
          throw new Error("source");
        });
        void core.pipeTo(failing, () => {});
        void core.pipeTo(failing, new WritableStream());
      },
      "source ends": ({ core }) => {
        const source = new core.MemoryValue();
        void core.pipeTo(source, new WritableStream());
        source.close();
      },
    };
    expect(await unhandledIn(scenarios)).toEqual([]);
  });
});

describe("a failed write whose promise was dropped", () => {
  test("is reported as an unhandled rejection", async () => {
    const scenarios: Record<string, Scenario> = {
      "lockstep set of an ended value": ({ core }) => {
        const value = new core.LockstepValue();
        value.close();
        void value.set(1);
      },
      "lockstep set that was queued when the value ended": ({ core }) => {
        const value = new core.LockstepValue();
        value.watch();
        void value.set(1);
        void value.set(2);
        value.close();
      },
      "lockstep set, aborted": ({ core }) => {
        const value = new core.LockstepValue();
        value.watch();
        const controller = new AbortController();
        void value.set(1, { signal: controller.signal });
        controller.abort();
      },
      "lockstep update that throws": ({ core }) => {
        void new core.LockstepValue().update(() => {
          throw new Error("cannot");
        });
      },
      "pipe to a function that throws": ({ core }) => {
        void core.pipeTo(new core.MemoryValue({ initial: 1 }), () => {
          throw new Error("sink");
        });
      },
      "pipe to a stream whose write fails": ({ core }) => {
        const stream = new WritableStream({ write: () => Promise.reject(new Error("sink")) });
        void core.pipeTo(new core.MemoryValue({ initial: 1 }), stream);
      },
      "pipe to a value that ended": ({ core }) => {
        const sink = new core.LockstepValue();
        sink.close();
        void core.pipeTo(new core.MemoryValue({ initial: 1 }), sink);
      },
    };
    expect(await unhandledIn(scenarios)).toEqual(Object.keys(scenarios));
  });
});
