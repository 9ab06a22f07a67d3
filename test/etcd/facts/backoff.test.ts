import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Backoff } from "../../../src/internal/backoff.ts";
import { rejection } from "../../support/promises.ts";
import { answerOf, headerOf, lose, ScriptedStore } from "./scripted-store.ts";

const { signal } = new AbortController();

describe("waiting between attempts", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  /** How long the next wait takes. */
  async function next(backoff: Backoff): Promise<number> {
    const set = vi.spyOn(globalThis, "setTimeout");
    const waiting = backoff.wait(signal);
    const [, ms] = set.mock.calls.at(-1)!;
    await vi.advanceTimersByTimeAsync(ms!);
    await waiting;
    return ms!;
  }

  test("takes twice as long each time, up to a limit, with jitter", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    const [least, most] = [new Backoff(50, 2000), new Backoff(50, 2000)];
    const shortest: number[] = [];
    for (let i = 0; i < 8; i++) shortest.push(await next(least));
    expect(shortest).toEqual([25, 50, 100, 200, 400, 800, 1000, 1000]);
    vi.mocked(Math.random).mockReturnValue(1);
    const longest: number[] = [];
    for (let i = 0; i < 8; i++) longest.push(await next(most));
    expect(longest).toEqual([50, 100, 200, 400, 800, 1600, 2000, 2000]);
  });

  test("begins again from the beginning after a success", async () => {
    const backoff = new Backoff(50, 2000);
    for (let i = 0; i < 8; i++) await next(backoff);
    backoff.reset();
    expect(await next(backoff)).toBeLessThanOrEqual(50);
  });

  test("ends with the signal, and leaves no timer", async () => {
    const controller = new AbortController();
    const waiting = rejection(new Backoff().wait(controller.signal));
    controller.abort("enough");
    expect(await waiting).toBe("enough");
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a feed's wait before it resumes", () => {
  test("is short again, once a watch was created in between", async () => {
    const store = new ScriptedStore();
    const watcher = store.watch();
    const first = watcher.getBatch();
    await store.give(answerOf({ revision: 10 }, { a: 10 }));
    await first;
    const waits = vi.spyOn(Backoff.prototype, "wait").mockResolvedValue();
    const resets = vi.spyOn(Backoff.prototype, "reset");
    try {
      for (let i = 0; i < 3; i++) {
        lose(await store.watchOf(i));
        await store.give(answerOf({ revision: 10 }, {}));
      }
      expect([waits.mock.calls.length, resets.mock.calls.length]).toEqual([3, 0]);
      const watch = await store.watchOf(3);
      watch.handlers.created(headerOf({ revision: 10 }));
      expect(resets).toHaveBeenCalledTimes(1);
    } finally {
      vi.restoreAllMocks();
      watcher.close();
    }
  });
});
