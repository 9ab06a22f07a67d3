/**
 * What every watchable promises (C1 to C12), as one suite for all implementations.
 *
 * An implementation is given as a function that makes a {@link Subject}, with the capabilities it has; those it lacks
 * are named in the title of its suite. The suite waits for conditions, never for time: that nothing happens is seen
 * by what happens next.
 */
import { getEventListeners } from "node:events";
import { setImmediate as macrotask } from "node:timers/promises";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { EventValueError, type Watchable, type Watcher } from "../../src/index.ts";
import { codeOf, microtasks, observe, rejection, turn, until } from "../support/promises.ts";

/** One watchable of the kind that is examined, and whoever sets it. */
export interface Subject {
  readonly watchable: Watchable<unknown>;
  /**
   * Sets the value. Settles, for watchables that conflate, when each `get()` begun afterwards would be given it or a
   * newer one; for others when the set is queued.
   */
  readonly set: (value: unknown) => Promise<void>;
  /** Ends the value; there with the capability `ends`. */
  readonly end?: () => Promise<void>;
  /** How many watchers are open, where that can be told. */
  readonly watcherCount?: () => number;
  readonly dispose?: () => Promise<void>;
}

/** What an implementation can do. */
export interface Capabilities {
  /** What was overwritten before a `get()` is skipped. Those that lack it deliver every value, in order. */
  readonly conflates: boolean;
  /** `set` has reached who waits when it returns: a waiting get settles with the very set that wakes it. */
  readonly setsAtOnce: boolean;
  /** What happens in one tick has an order: of a set, an abort and a close the first wins. */
  readonly firstWins: boolean;
  /** A get that is settled, aborted or closed makes room for the next one in the same tick. */
  readonly freesAtOnce: boolean;
  /** Setting an equal value is delivered. */
  readonly repeats: boolean;
  /** The value can end. */
  readonly ends: boolean;
  /** Values other than numbers that can be set. */
  readonly holds: readonly unknown[];
}

/** Makes a subject, unset or with an initial value. */
export type MakeSubject = (options?: { readonly initial: unknown }) => Subject | Promise<Subject>;

/** The capabilities of values in memory, and of what operators make of them. */
export const allCapabilities: Capabilities = {
  conflates: true,
  setsAtOnce: true,
  firstWins: true,
  freesAtOnce: true,
  repeats: true,
  ends: true,
  holds: [undefined, null, false, "", Number.NaN, 0, { nested: [undefined] }, () => {}, Symbol("value")],
};

/** Holds an implementation of `Watchable` to what all promise. */
export function describeWatchable(name: string, make: MakeSubject, capabilities: Capabilities): void {
  const { conflates, setsAtOnce, firstWins, freesAtOnce, repeats, ends, holds } = capabilities;
  /** How often something is done that must leave nothing behind; where each may take a while, less often. */
  const many = setsAtOnce ? 2000 : 40;
  const lacks = Object.entries(capabilities).flatMap(([capability, has]) => (has === false ? [capability] : []));

  type Body = (subject: Subject) => Promise<void>;

  /** A test with a subject of its own, which is unset. */
  const check = (title: string, body: Body): void => checkWith(undefined, title, body);
  /** The same with a subject that has an initial value. */
  const checkFrom = (initial: number, title: string, body: Body): void => checkWith({ initial }, title, body);

  function checkWith(options: { readonly initial: number } | undefined, title: string, body: Body): void {
    // oxlint-disable-next-line vitest/valid-title -- it is a parameter here
    test(title, async () => {
      const subject = await make(options);
      try {
        await body(subject);
      } finally {
        await subject.dispose?.();
      }
    });
  }

  /** What the next gets give after `values` were set: each of them, or the last. */
  async function expectDelivered(watcher: Watcher<unknown>, values: readonly unknown[]): Promise<void> {
    for (const value of conflates ? values.slice(-1) : values) expect(await watcher.get()).toBe(value);
  }

  /** Nothing is pending now; and the next value is the first one set from now on. */
  async function expectNothingPending(
    { set }: Pick<Subject, "set">,
    watcher: Watcher<unknown>,
    next: unknown,
  ): Promise<void> {
    expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
    await set(next);
    expect(await watcher.get()).toBe(next);
  }

  describe(`${name}${lacks.length === 0 ? "" : ` (lacks: ${lacks.join(", ")})`}`, () => {
    describe("C1 newest", () => {
      if (conflates) {
        checkFrom(0, "catches up to the newest of 100 sets", async ({ watchable, set }) => {
          using watcher = watchable.watch();
          expect(await watcher.get()).toBe(0);
          for (let i = 1; i <= 100; i++) await set(i);
          expect(await watcher.get()).toBe(100);
          expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
        });
      } else {
        checkFrom(0, "delivers each of 100 sets, once and in order", async ({ watchable, set }) => {
          using watcher = watchable.watch();
          expect(await watcher.get()).toBe(0);
          for (let i = 1; i <= 100; i++) await set(i);
          for (let i = 1; i <= 100; i++) expect(await watcher.get()).toBe(i);
          expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
        });
      }

      check(
        "a waiting get settles with the set that wakes it, the next one with the newest after that",
        async ({ watchable, set }) => {
          using watcher = watchable.watch();
          const waiting = watcher.get();
          if (setsAtOnce) {
            void set(1);
            void set(2);
            void set(3);
            expect(await waiting).toBe(1);
          } else {
            await set(1);
            expect(await waiting).toBe(1);
            await set(2);
            await set(3);
          }
          await expectDelivered(watcher, [2, 3]);
        },
      );

      check(
        "a hundred watchers of different speed all settle on the last value, monotonically",
        async ({ watchable, set }) => {
          const last = 60;
          const consumers = Array.from({ length: 100 }, async (_, speed) => {
            using watcher = watchable.watch();
            const seen: number[] = [];
            while (seen.at(-1) !== last) {
              seen.push((await watcher.get()) as number);
              for (let pause = 0; pause < speed % 10; pause++) await macrotask();
            }
            return seen;
          });
          for (let i = 1; i <= last; i++) {
            await set(i);
            if (i % 3 === 0) await macrotask();
          }
          for (const seen of await Promise.all(consumers)) {
            if (conflates)
              expect(
                seen.every((value, i) => i === 0 || value > seen[i - 1]!),
                `saw ${seen.join(", ")}`,
              ).toBe(true);
            else expect(seen).toEqual(Array.from({ length: last }, (_, i) => i + 1));
          }
        },
      );
    });

    describe("C2 nothing final is lost", () => {
      checkFrom(0, "a value set right after watch() returned is delivered", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        expect(await watcher.get()).toBe(0);
        using late = watchable.watch();
        await set(1);
        expect(await watcher.get()).toBe(1);
        expect(await late.get()).toBe(1);
      });

      check("the last value arrives whatever the moment it is set at", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        let value = 0;
        for (let apart = 0; apart < 24; apart++) {
          const waiting = watcher.get();
          await microtasks(apart);
          const first = ++value;
          const second = ++value;
          const setFirst = set(first);
          await microtasks(apart % 12);
          await Promise.all([setFirst, set(second)]);
          let got = await waiting;
          if (setsAtOnce) expect(got).toBe(first);
          while (got !== second) got = await watcher.get();
        }
      });

      check("each of many watchers that keep getting receives the last value", async ({ watchable, set }) => {
        const last = 20;
        const consumers = Array.from({ length: 50 }, async () => {
          for await (const value of watchable.watch()) if (value === last) return value;
          return undefined;
        });
        for (let i = 1; i <= last; i++) await set(i);
        expect(new Set(await Promise.all(consumers))).toEqual(new Set([last]));
      });
    });

    describe("C3 first get", () => {
      checkFrom(7, "gives the current value, to each watcher", async ({ watchable }) => {
        using first = watchable.watch();
        using second = watchable.watch();
        expect(await first.get()).toBe(7);
        expect(await second.get()).toBe(7);
        using third = watchable.watch();
        expect(await third.get()).toBe(7);
      });

      checkFrom(0, "gives a watcher that is opened late only the newest value", async ({ watchable, set }) => {
        await set(1);
        await set(2);
        using watcher = watchable.watch();
        expect(await watcher.get()).toBe(2);
        await expectNothingPending({ set }, watcher, 3);
      });

      check("waits for the first set where there is no value yet", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        const first = watcher.get();
        const state = observe(first);
        await turn();
        expect(state()).toEqual({ state: "pending" });
        await set(1);
        expect(await first).toBe(1);
      });

      check("gives a value that was set between watch and first get", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        await set(1);
        expect(await watcher.get()).toBe(1);
        await expectNothingPending({ set }, watcher, 2);
      });

      checkFrom(
        0,
        "gives the value set between watch and first get, not the initial one",
        async ({ watchable, set }) => {
          using watcher = watchable.watch();
          await set(1);
          expect(await watcher.get()).toBe(1);
          await expectNothingPending({ set }, watcher, 2);
        },
      );

      check(
        "gives of several values set between watch and first get the newest only, or each",
        async ({ watchable, set }) => {
          using watcher = watchable.watch();
          await set(1);
          await set(2);
          await set(3);
          await expectDelivered(watcher, [1, 2, 3]);
          await expectNothingPending({ set }, watcher, 4);
        },
      );

      check("with backlogOnly gives what is there, and EV_BACKLOG_DONE for nothing", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
        await set(1);
        expect(await watcher.get({ backlogOnly: true })).toBe(1);
        expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
        const waiting = watcher.get({ backlogOnly: false });
        await set(2);
        expect(await waiting).toBe(2);
      });
    });

    describe("C4 every set counts", () => {
      if (repeats) {
        checkFrom(
          1,
          "a set of an equal value is delivered, to who waits and to who does not",
          async ({ watchable, set }) => {
            using watcher = watchable.watch();
            expect(await watcher.get()).toBe(1);
            await set(1);
            expect(await watcher.get()).toBe(1);
            const waiting = watcher.get();
            await set(1);
            expect(await waiting).toBe(1);
          },
        );
      } else {
        checkFrom(1, "a set of an equal value is not delivered, and hides no other", async ({ watchable, set }) => {
          using watcher = watchable.watch();
          expect(await watcher.get()).toBe(1);
          const waiting = watcher.get();
          await set(1);
          await set(2);
          expect(await waiting).toBe(2);
        });
      }
    });

    describe("C5 unset is not undefined", () => {
      for (const value of holds) {
        check(`${inspect(value)} is a value`, async ({ watchable, set }) => {
          using watcher = watchable.watch();
          const waiting = watcher.get();
          await set(value);
          expect(await waiting).toEqual(value);
          await set(value === 1 ? 2 : 1);
          await set(value);
          if (!conflates) await watcher.get();
          expect(await watcher.get({ backlogOnly: true })).toEqual(value);
          expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
          using late = watchable.watch();
          expect(await late.get({ backlogOnly: true })).toEqual(value);
        });
      }
    });

    describe("C6 one get at a time", () => {
      check(
        "exactly one of two concurrent gets is refused, and the pending one is untouched",
        async ({ watchable, set }) => {
          using watcher = watchable.watch();
          const gets = [watcher.get(), watcher.get()] as const;
          expect(await codeOf(gets[1])).toBe("EV_CONCURRENT_GET");
          await set(1);
          expect(await gets[0]).toBe(1);
          await expectNothingPending({ set }, watcher, 2);
        },
      );

      check("all but the first of a hundred concurrent gets are refused", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        const first = watcher.get();
        const others = Array.from({ length: 99 }, () => watcher.get());
        expect(new Set(await Promise.all(others.map(codeOf)))).toEqual(new Set(["EV_CONCURRENT_GET"]));
        await set(1);
        expect(await first).toBe(1);
      });

      check(
        "a refused get leaves nothing behind: neither its signal, its filter nor its backlogOnly",
        async ({ watchable, set }) => {
          using watcher = watchable.watch();
          const pending = watcher.get();
          const controller = new AbortController();
          const refused = watcher.get({ signal: controller.signal, filter: () => false, backlogOnly: true });
          expect(await codeOf(refused)).toBe("EV_CONCURRENT_GET");
          controller.abort();
          await set(1);
          expect(await pending).toBe(1);
        },
      );

      check("the next() of an iterator is a get like any other", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        const iterator = watcher[Symbol.asyncIterator]();
        const next = iterator.next();
        expect(await codeOf(watcher.get())).toBe("EV_CONCURRENT_GET");
        expect(await codeOf(iterator.next())).toBe("EV_CONCURRENT_GET");
        await set(1);
        expect(await next).toEqual({ done: false, value: 1 });
        const pending = watcher.get();
        expect(await codeOf(iterator.next())).toBe("EV_CONCURRENT_GET");
        await set(2);
        expect(await pending).toBe(2);
      });

      check("watchers do not refuse each other's gets", async ({ watchable, set }) => {
        using one = watchable.watch();
        using other = watchable.watch();
        const gets = [one.get(), other.get()];
        await set(1);
        expect(await Promise.all(gets)).toEqual([1, 1]);
      });

      check(
        "a get is accepted again as soon as the one before it is settled or aborted",
        async ({ watchable, set }) => {
          using watcher = watchable.watch();
          const controller = new AbortController();
          const aborted = watcher.get({ signal: controller.signal });
          controller.abort("enough");
          if (!freesAtOnce) await rejection(aborted);
          const next = watcher.get();
          expect(await rejection(aborted)).toBe("enough");
          const set1 = set(1);
          if (!freesAtOnce || !setsAtOnce) await next;
          const last = watcher.get();
          await set1;
          await set(2);
          expect(await next).toBe(1);
          expect(await last).toBe(2);
        },
      );
    });

    describe("C7 cancel", () => {
      check("an aborted get rejects with signal.reason itself, whatever that is", async ({ watchable }) => {
        using watcher = watchable.watch();
        const error = new Error("no longer wanted");
        for (const reason of [error, "text", null, 0, { plain: true }]) {
          const controller = new AbortController();
          const get = watcher.get({ signal: controller.signal });
          controller.abort(reason);
          expect(await rejection(get)).toBe(reason);
        }
        const controller = new AbortController();
        const get = watcher.get({ signal: controller.signal });
        controller.abort();
        expect(await rejection(get)).toBe(controller.signal.reason);
        expect(controller.signal.reason).toMatchObject({ name: "AbortError" });
      });

      check("an aborted get is followed by a good one", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        const controller = new AbortController();
        const aborted = watcher.get({ signal: controller.signal });
        controller.abort("enough");
        expect(await rejection(aborted)).toBe("enough");
        const good = watcher.get();
        await set(1);
        expect(await good).toBe(1);
      });

      checkFrom(
        1,
        "an already aborted signal rejects even if a value is available, which the next get returns",
        async ({ watchable }) => {
          using watcher = watchable.watch();
          expect(await rejection(watcher.get({ signal: AbortSignal.abort("before") }))).toBe("before");
          expect(await rejection(watcher.get({ signal: AbortSignal.abort("before"), backlogOnly: true }))).toBe(
            "before",
          );
          expect(await watcher.get({ backlogOnly: true })).toBe(1);
        },
      );

      if (firstWins) {
        check(
          "first wins: set then abort in one tick resolves, whenever that tick comes",
          async ({ watchable, set }) => {
            using watcher = watchable.watch();
            for (let i = 1; i <= 24; i++) {
              const controller = new AbortController();
              const get = watcher.get({ signal: controller.signal });
              await microtasks(i - 1);
              void set(i);
              controller.abort("late");
              expect(await get).toBe(i);
            }
          },
        );

        check(
          "first wins: abort then set in one tick rejects, and the next get returns the value",
          async ({ watchable, set }) => {
            using watcher = watchable.watch();
            for (let i = 1; i <= 24; i++) {
              const controller = new AbortController();
              const get = watcher.get({ signal: controller.signal });
              await microtasks(i - 1);
              controller.abort("early");
              void set(i);
              expect(await rejection(get)).toBe("early");
              expect(await watcher.get({ backlogOnly: true })).toBe(i);
            }
          },
        );
      }

      if (setsAtOnce) {
        check(
          "first wins: a set resolves also right after the filter refused another one",
          async ({ watchable, set }) => {
            using watcher = watchable.watch();
            for (let i = 1; i <= 24; i++) {
              const controller = new AbortController();
              const get = watcher.get({ signal: controller.signal, filter: (value) => (value as number) % 2 === 0 });
              void set(2 * i - 1);
              if (i > 1) await microtasks(i - 2);
              void set(2 * i);
              controller.abort("late");
              expect(await get).toBe(2 * i);
            }
          },
        );
      }

      check("a value that raced with the abort is returned by the next get", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        for (let i = 1; i <= 30; i++) {
          const controller = new AbortController();
          const get = watcher.get({ signal: controller.signal });
          const setting = i % 2 === 0 ? set(i) : undefined;
          await microtasks(i % 15);
          controller.abort("raced");
          await (setting ?? set(i));
          const got = await get.catch((reason: unknown) => {
            expect(reason).toBe("raced");
            return watcher.get();
          });
          expect(got).toBe(i);
          expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
        }
      });

      check("an abort after the get has settled does nothing", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        const controller = new AbortController();
        const get = watcher.get({ signal: controller.signal });
        await set(1);
        expect(await get).toBe(1);
        const next = watcher.get();
        controller.abort();
        await set(2);
        expect(await next).toBe(2);
      });

      check(
        "a signal shared by the gets of many watchers aborts each, and each stays usable",
        async ({ watchable, set }) => {
          const warnings: Error[] = [];
          const onWarning = (warning: Error): void => void warnings.push(warning);
          process.on("warning", onWarning);
          const controller = new AbortController();
          const watchers = Array.from({ length: 40 }, () => watchable.watch());
          const gets = watchers.map((watcher) => watcher.get({ signal: controller.signal }));
          expect(getEventListeners(controller.signal, "abort").length).toBeLessThanOrEqual(1);
          controller.abort("all");
          expect(await Promise.all(gets.map(rejection))).toEqual(gets.map(() => "all"));
          const again = watchers.map((watcher) => watcher.get());
          await set(1);
          expect(await Promise.all(again)).toEqual(gets.map(() => 1));
          for (const watcher of watchers) watcher.close();
          await until(() => getEventListeners(controller.signal, "abort").length === 0);
          process.off("warning", onWarning);
          expect(warnings).toEqual([]);
        },
      );

      check("thousands of gets on one signal leave no listener and cause no warning", async ({ watchable, set }) => {
        const warnings: Error[] = [];
        const onWarning = (warning: Error): void => void warnings.push(warning);
        process.on("warning", onWarning);
        const { signal } = new AbortController();
        const rounds = many;
        using watcher = watchable.watch({ signal });
        for (let i = 1; i <= rounds; i++) {
          const get = watcher.get({ signal });
          await set(i);
          expect(await get).toBe(i);
        }
        for (let i = 1; i <= rounds; i++) await watcher.get({ signal, backlogOnly: true }).catch(() => {});
        for (let i = 1; i <= rounds; i++) watchable.watch({ signal }).close();
        expect(getEventListeners(signal, "abort").length).toBeLessThanOrEqual(2);
        watcher.close();
        await until(() => getEventListeners(signal, "abort").length === 0);
        process.off("warning", onWarning);
        expect(warnings).toEqual([]);
      });
    });

    describe("C8 close", () => {
      check(
        "a pending get and every later one reject with EV_CLOSED, however often it is closed",
        async ({ watchable }) => {
          const watcher = watchable.watch();
          const pending = watcher.get();
          watcher.close();
          watcher.close();
          expect(await codeOf(pending)).toBe("EV_CLOSED");
          expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
          watcher.close();
          expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_CLOSED");
          expect(await codeOf(watcher.get({ filter: () => true }))).toBe("EV_CLOSED");
        },
      );

      checkFrom(1, "a closed watcher gives nothing, though a value is there", async ({ watchable, set }) => {
        const watcher = watchable.watch();
        watcher.close();
        await set(2);
        expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
      });

      if (firstWins) {
        check("first wins: set then close resolves, close then set rejects", async ({ watchable, set }) => {
          const early = watchable.watch();
          const late = watchable.watch();
          const gets = [early.get(), late.get()] as const;
          early.close();
          void set(1);
          late.close();
          expect(await codeOf(gets[0])).toBe("EV_CLOSED");
          expect(await gets[1]).toBe(1);
          expect(await codeOf(late.get())).toBe("EV_CLOSED");
        });
      }

      check("where the watch signal closed it, gets reject with signal.reason", async ({ watchable, set }) => {
        const controller = new AbortController();
        const reason = new Error("shutting down");
        const watcher = watchable.watch({ signal: controller.signal });
        const idle = watchable.watch({ signal: controller.signal });
        const pending = watcher.get();
        controller.abort(reason);
        expect(await rejection(pending)).toBe(reason);
        expect(await rejection(watcher.get())).toBe(reason);
        await set(1);
        expect(await rejection(watcher.get())).toBe(reason);
        expect(await rejection(idle.get({ backlogOnly: true }))).toBe(reason);
        watcher.close();
        expect(await rejection(watcher.get())).toBe(reason);
      });

      checkFrom(1, "a watch signal that is already aborted gives a closed watcher", async ({ watchable }) => {
        const watcher = watchable.watch({ signal: AbortSignal.abort("before") });
        expect(await rejection(watcher.get())).toBe("before");
        expect(await rejection(watcher.get())).toBe("before");
      });

      check("an abort of the watch signal after close() changes nothing", async ({ watchable }) => {
        const controller = new AbortController();
        const watcher = watchable.watch({ signal: controller.signal });
        watcher.close();
        controller.abort("too late");
        expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
      });

      check("closing one watcher leaves the others alone", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        const pending = watcher.get();
        const other = watchable.watch();
        const closing = other.get();
        other.close();
        expect(await codeOf(closing)).toBe("EV_CLOSED");
        await set(1);
        expect(await pending).toBe(1);
      });

      check("close by using, and count no closed watcher", async ({ watchable, watcherCount }) => {
        let left: Watcher<unknown>;
        {
          using watcher = watchable.watch();
          left = watcher;
          const controller = new AbortController();
          watchable.watch({ signal: controller.signal });
          controller.abort();
        }
        expect(await codeOf(left.get())).toBe("EV_CLOSED");
        if (watcherCount !== undefined) expect(watcherCount()).toBe(0);
      });

      check("promises of gets that nobody holds reject unnoticed", async ({ watchable, set }) => {
        const controller = new AbortController();
        const watchers = Array.from({ length: 4 }, () => watchable.watch({ signal: controller.signal }));
        for (const watcher of watchers) void watcher.get();
        for (const watcher of watchers) void watcher.get();
        watchers[0]!.close();
        void watchers[0]!.get();
        void watchers[0]![Symbol.asyncIterator]().next();
        controller.abort("all");
        void watchers[1]!.get();
        void watchers[2]![Symbol.asyncIterator]().next();
        using watcher = watchable.watch();
        void watcher.get({ backlogOnly: true });
        await set(1);
        // vitest fails the run on an unhandled rejection, which is known when the loop has turned.
        await turn();
        await turn();
      });

      if (ends) {
        check(
          "a value that ends is still delivered once to watchers that lack it, then gets reject with EV_CLOSED",
          async (subject) => {
            const { watchable, set } = subject;
            using lacking = watchable.watch();
            using waiting = watchable.watch();
            using having = watchable.watch();
            const gets = [waiting.get(), having.get()];
            await set(1);
            expect(await Promise.all(gets)).toEqual([1, 1]);
            const pending = waiting.get();
            await subject.end!();
            expect(await codeOf(pending)).toBe("EV_CLOSED");
            expect(await codeOf(waiting.get())).toBe("EV_CLOSED");
            expect(await codeOf(having.get({ backlogOnly: true }))).toBe("EV_CLOSED");
            expect(await lacking.get()).toBe(1);
            expect(await codeOf(lacking.get())).toBe("EV_CLOSED");
            expect(await codeOf(lacking.get())).toBe("EV_CLOSED");
            expect(() => watchable.watch()).toThrow(expect.objectContaining({ code: "EV_CLOSED" }));
          },
        );

        check("a value that ends unset rejects gets with EV_CLOSED", async (subject) => {
          using waiting = subject.watchable.watch();
          using idle = subject.watchable.watch();
          const pending = waiting.get();
          await subject.end!();
          expect(await codeOf(pending)).toBe("EV_CLOSED");
          expect(await codeOf(idle.get())).toBe("EV_CLOSED");
        });
      }
    });

    describe("C9 iteration", () => {
      checkFrom(
        0,
        "a loop yields what get() would, and leaving it closes the watcher",
        async ({ watchable, set, watcherCount }) => {
          const watcher = watchable.watch();
          const seen: unknown[] = [];
          for await (const value of watcher) {
            seen.push(value);
            if (value === 3) break;
            await set((value as number) + 1);
          }
          expect(seen).toEqual([0, 1, 2, 3]);
          expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
          if (watcherCount !== undefined) expect(watcherCount()).toBe(0);
        },
      );

      checkFrom(0, "a slow loop catches up to the newest value, or gets each", async ({ watchable, set }) => {
        const seen: unknown[] = [];
        for await (const value of watchable.watch()) {
          seen.push(value);
          if (value === 5) break;
          if (value === 0) for (let i = 1; i <= 5; i++) await set(i);
        }
        expect(seen).toEqual(conflates ? [0, 5] : [0, 1, 2, 3, 4, 5]);
      });

      checkFrom(1, "an exception in the loop closes the watcher and goes its way", async ({ watchable }) => {
        const watcher = watchable.watch();
        const loop = async (): Promise<void> => {
          for await (const value of watcher) throw new Error(`met ${String(value)}`);
        };
        expect(await rejection(loop())).toEqual(new Error("met 1"));
        expect(await codeOf(watcher.get())).toBe("EV_CLOSED");
      });

      check(
        "close() from outside ends a waiting loop normally, and one that comes back later",
        async ({ watchable, set }) => {
          const waiting = watchable.watch();
          const busy = watchable.watch();
          const loop = async (watcher: Watcher<unknown>, body: () => Promise<void>): Promise<unknown[]> => {
            const seen: unknown[] = [];
            for await (const value of watcher) {
              seen.push(value);
              await body();
            }
            return seen;
          };
          let release!: () => void;
          const busyUntil = new Promise<void>((resolve) => (release = resolve));
          const loops = [loop(waiting, async () => {}), loop(busy, () => busyUntil)];
          await set(1);
          await turn();
          waiting.close();
          busy.close();
          release();
          for (const seen of await Promise.all(loops))
            expect(seen.length === 0 || (seen.length === 1 && seen[0] === 1)).toBe(true);
          if (setsAtOnce) expect(await Promise.all(loops)).toEqual([[1], [1]]);
        },
      );

      check("return() ends a pending next(), and every later one", async ({ watchable }) => {
        const iterator = watchable.watch()[Symbol.asyncIterator]();
        const next = iterator.next();
        expect(await iterator.return!()).toEqual({ done: true, value: undefined });
        expect(await next).toEqual({ done: true, value: undefined });
        expect(await iterator.next()).toEqual({ done: true, value: undefined });
        expect(await iterator.return!()).toEqual({ done: true, value: undefined });
      });

      check("an iterator that is never asked takes nothing", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        watcher[Symbol.asyncIterator]();
        await set(1);
        expect(await watcher.get()).toBe(1);
      });

      checkFrom(1, "a loop over a closed watcher ends at once", async ({ watchable }) => {
        const watcher = watchable.watch();
        watcher.close();
        for await (const value of watcher) expect.fail(`yielded ${String(value)}`);
      });

      checkFrom(
        0,
        "an abort of the watch signal throws signal.reason, in the loop and from every later next()",
        async ({ watchable, set }) => {
          for (const already of [false, true]) {
            const controller = new AbortController();
            const reason = new Error("stop");
            const watcher = watchable.watch({ signal: controller.signal });
            const seen: unknown[] = [];
            const loop = async (): Promise<void> => {
              for await (const value of watcher) {
                seen.push(value);
                if (already) controller.abort(reason);
              }
            };
            const looping = observe(loop());
            await until(() => seen.length > 0);
            await turn();
            controller.abort(reason);
            await until(() => looping().state !== "pending");
            expect(looping()).toEqual({ state: "rejected", reason });
            expect(await rejection(watcher[Symbol.asyncIterator]().next())).toBe(reason);
            await set(1);
          }
        },
      );

      check("an abort throws its reason also where that looks like the end of the value", async ({ watchable }) => {
        const controller = new AbortController();
        const reason = new EventValueError("EV_CLOSED", "the application is shutting down");
        const iterator = watchable.watch({ signal: controller.signal })[Symbol.asyncIterator]();
        const next = iterator.next();
        controller.abort(reason);
        expect(await rejection(next)).toBe(reason);
        expect(await rejection(iterator.next())).toBe(reason);
      });

      if (ends) {
        check("the end of the value ends a loop normally, after its newest value", async (subject) => {
          const { watchable, set } = subject;
          const loop = async (): Promise<unknown[]> => {
            const seen: unknown[] = [];
            for await (const value of watchable.watch()) seen.push(value);
            return seen;
          };
          const early = loop();
          await set(1);
          await turn();
          const late = loop();
          await subject.end!();
          expect(await early).toEqual([1]);
          expect(await late).toEqual([1]);
        });
      }
    });

    describe("C10 bounded", () => {
      if (conflates) {
        checkFrom(
          0,
          "a thousand idle watchers hold nothing up, and each is given only the newest",
          async ({ watchable, set }) => {
            const watchers = Array.from({ length: 1000 }, () => watchable.watch());
            const sets = many / 2;
            for (let i = 1; i <= sets; i++) await set(i);
            const got = await Promise.all(watchers.map((watcher) => watcher.get()));
            expect(new Set(got)).toEqual(new Set([sets]));
            expect(
              new Set(await Promise.all(watchers.map((watcher) => codeOf(watcher.get({ backlogOnly: true }))))),
            ).toEqual(new Set(["EV_BACKLOG_DONE"]));
            for (const watcher of watchers) watcher.close();
          },
        );
      }

      check("watchers opened and closed without a set leave none open", async ({ watchable, set, watcherCount }) => {
        const { signal } = new AbortController();
        for (let i = 0; i < many; i++) watchable.watch(i % 2 === 0 ? undefined : { signal }).close();
        if (watcherCount !== undefined) expect(watcherCount()).toBe(0);
        await until(() => getEventListeners(signal, "abort").length === 0);
        using watcher = watchable.watch();
        if (watcherCount !== undefined) expect(watcherCount()).toBeGreaterThan(0);
        await set(1);
        expect(await watcher.get()).toBe(1);
      });
    });

    describe("C11 a filter", () => {
      check("skips the values it refuses, for good", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        const asked: unknown[] = [];
        const even = watcher.get({
          filter: (value) => {
            asked.push(value);
            return (value as number) % 2 === 0;
          },
        });
        for (let i = 1; i <= 4; i++) {
          await set(i);
          await turn();
        }
        expect(await even).toBe(2);
        if (setsAtOnce) expect(asked).toEqual([1, 2]);
        await expectDelivered(watcher, [3, 4]);
      });

      checkFrom(1, "that refuses what is pending leaves nothing pending", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        expect(await codeOf(watcher.get({ filter: () => false, backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
        await expectNothingPending({ set }, watcher, 2);
      });

      checkFrom(1, "that accepts what is pending returns it at once", async ({ watchable }) => {
        using watcher = watchable.watch();
        expect(await watcher.get({ filter: (value) => value === 1, backlogOnly: true })).toBe(1);
      });

      check("is not asked again for what an aborted get of its did not take", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        const controller = new AbortController();
        const get = watcher.get({ filter: () => false, signal: controller.signal });
        controller.abort("enough");
        await set(1);
        expect(await rejection(get)).toBe("enough");
        expect(await watcher.get()).toBe(1);
      });

      checkFrom(
        1,
        "that throws rejects that get with its error, and the watcher goes on with the next value",
        async ({ watchable, set }) => {
          using watcher = watchable.watch();
          const error = new Error("cannot tell");
          const filter = (): boolean => {
            throw error;
          };
          expect(await rejection(watcher.get({ filter }))).toBe(error);
          expect(await codeOf(watcher.get({ backlogOnly: true }))).toBe("EV_BACKLOG_DONE");
          const waiting = watcher.get({ filter });
          await set(2);
          expect(await rejection(waiting)).toBe(error);
          await set(3);
          expect(await watcher.get()).toBe(3);
        },
      );

      check("that throws does not disturb other watchers", async ({ watchable, set }) => {
        const watchers = [watchable.watch(), watchable.watch(), watchable.watch()] as const;
        const throwing = watchers[1].get({
          filter: () => {
            throw new Error("cannot tell");
          },
        });
        const others = [watchers[0].get(), watchers[2].get()];
        await set(1);
        expect(await rejection(throwing)).toEqual(new Error("cannot tell"));
        expect(await Promise.all(others)).toEqual([1, 1]);
        for (const watcher of watchers) watcher.close();
      });
    });

    describe("C12 starvation", () => {
      check("a timer fires while a producer and a consumer keep each other busy", async ({ watchable, set }) => {
        using watcher = watchable.watch();
        const timer = { fired: false };
        const timeout = setTimeout(() => (timer.fired = true), 5);
        let rounds = 0;
        // The bound makes starvation a failure: a loop that never turns could not be ended by the test's time.
        for (; !timer.fired && rounds < 2_000_000; rounds++) {
          const setting = set(rounds);
          await watcher.get();
          await setting;
        }
        clearTimeout(timeout);
        expect(timer.fired).toBe(true);
      });
    });

    describe("arguments", () => {
      checkFrom(1, "of the wrong type are a TypeError at the call", async ({ watchable }) => {
        using watcher = watchable.watch();
        const watch = watchable.watch.bind(watchable) as (options: unknown) => unknown;
        const get = watcher.get.bind(watcher) as (options: unknown) => unknown;
        const { signal } = new AbortController();
        for (const options of [
          null,
          1,
          "signal",
          signal,
          { signals: signal },
          { signal: null },
          { signal: {} },
          { signal: new AbortController() },
        ]) {
          expect(() => watch(options), `watch(${inspect(options)})`).toThrow(TypeError);
          expect(() => get(options), `get(${inspect(options)})`).toThrow(TypeError);
        }
        for (const options of [
          { filter: true },
          { filter: null },
          { backlogOnly: true, timeout: 5 },
          { backlogOnly: 1 },
          { backlogOnly: "false" },
        ]) {
          expect(() => get(options), `get(${inspect(options)})`).toThrow(TypeError);
        }
        expect(() => watch({ filter: () => true })).toThrow('watch(): unknown option "filter"');
        expect(() => get({ timeoutMs: 5 })).toThrow('get(): unknown option "timeoutMs"');
        expect(await watcher.get({ signal: undefined, filter: undefined, backlogOnly: undefined })).toBe(1);
        expect(await watchable.watch({ signal: undefined }).get({})).toBe(1);
      });
    });
  });
}
