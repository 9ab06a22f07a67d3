import { getEventListeners } from "node:events";
import { afterEach, describe, expect, test, vi } from "vitest";
import { errorOf } from "../../../src/errors.ts";
import {
  type Election,
  json,
  lead,
  type LeadContext,
  type Leadership,
  MemoryKeyspace,
  put,
  text,
  waitFor,
} from "../../../src/index.ts";
import { TestKeyspace } from "../../../src/testing/index.ts";
import { codeOf, observe, rejection, turn, until } from "../../support/promises.ts";
import { aborted, manualTask } from "../operators/tasks.ts";

const opened: MemoryKeyspace[] = [];
afterEach(async () => {
  for (const keyspace of opened.splice(0)) await keyspace.close();
});

function open() {
  const keyspace = new TestKeyspace();
  const other = new MemoryKeyspace({ sharing: keyspace });
  opened.push(keyspace, other);
  const stop = new AbortController();
  return {
    keyspace,
    other,
    stop,
    options: { signal: stop.signal },
    election: keyspace.election("leader"),
    candidates: other.range("leader/", text),
    /** Resolves when this one leads; `undefined`: when nobody does. */
    isLed: (by: string | undefined) => waitFor(other.election("leader").leader, (leader) => leader?.value === by),
    /** Deletes the leader's key: it has lost. */
    async depose(): Promise<void> {
      const candidates = other.range("leader/", text);
      const [leader] = (await candidates.read()).changes;
      await candidates.delete(leader!.key);
    },
  };
}

const lostAnswer = errorOf("EV_UNAVAILABLE", "lost", { maybeApplied: true });

/** An election in which `outcomes` are those of the campaigns, one after the other. */
function electionOf(...outcomes: readonly (Leadership | Error)[]): Pick<Election, "campaign"> {
  const left = [...outcomes];
  return {
    async campaign() {
      const outcome = left.shift()!;
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
  };
}

describe("lead", () => {
  test("runs the task as the leader, resigns when it has ended, and resolves with what it returned", async () => {
    const { election, isLed, candidates, stop, options } = open();
    const { task, runs } = manualTask<Leadership, LeadContext>();
    const first = lead(election, "first", (...given) => task(...given).then(() => "done"), options);
    await isLed("first");
    const second = lead(election, "second", () => "at once");
    await until(() => runs.length === 1);
    expect(runs).toMatchObject([{ value: { lost: { aborted: false } }, context: { signal: { aborted: false } } }]);
    runs[0]?.end();
    expect([await first, await second]).toEqual(["done", "at once"]);
    expect((await candidates.read()).changes).toEqual([]);
    await vi.waitFor(() => expect(getEventListeners(stop.signal, "abort")).toEqual([]));
  });

  test("aborts the task when the leadership is lost, waits for it, and campaigns again", async () => {
    const { election, isLed, depose, options } = open();
    const { task, runs } = manualTask<Leadership, LeadContext>();
    const leading = lead(election, "me", task, options);
    await until(() => runs.length === 1);
    await depose();
    await until(() => runs[0]!.context.signal.aborted);
    await isLed(undefined);
    const other = await election.campaign("other");
    // It returns, but that is not its job done.
    runs[0]?.end();
    await turn();
    expect(runs).toHaveLength(1);
    await other.resign();
    await until(() => runs.length === 2);
    expect(runs[1]!.value.revision).toBeGreaterThan(other.revision);
    expect(runs[1]!.context.signal.aborted).toBe(false);
    runs[1]?.end();
    await leading;
  });

  test("campaigns again when its lease has expired while the store was out of reach", async () => {
    const { keyspace, election, isLed, options } = open();
    const { task, runs } = manualTask<Leadership, LeadContext>();
    const leading = lead(election, "me", task, { ...options, ttlMs: 3000 });
    await until(() => runs.length === 1);
    keyspace.goStale();
    keyspace.jump(3000);
    await until(() => runs[0]!.context.signal.aborted);
    await isLed(undefined);
    keyspace.recover();
    runs[0]?.fail(lostAnswer);
    await until(() => runs.length === 2);
    runs[1]?.end();
    await leading;
  });

  test.for<[string, (signal: AbortSignal) => unknown]>([
    ["the reason of its signal", (signal) => signal.reason],
    ["an AbortError", () => new DOMException("aborted", "AbortError")],
    ["EV_CONFLICT", () => errorOf("EV_CONFLICT", "another", { key: "a", currentRevision: 1 })],
    ["EV_LEASE_NOT_FOUND", () => errorOf("EV_LEASE_NOT_FOUND", "gone", {})],
    ["EV_UNAVAILABLE", () => lostAnswer],
  ])("takes %s for the end of a task whose leadership was lost", async ([, errorFor]) => {
    const { election, depose, options } = open();
    const { task, runs } = manualTask<Leadership, LeadContext>();
    const leading = lead(election, "me", task, options);
    await until(() => runs.length === 1);
    await depose();
    const { signal } = runs[0]!.context;
    await until(() => signal.aborted);
    runs[0]?.fail(errorFor(signal));
    await until(() => runs.length === 2);
    runs[1]?.end();
    await leading;
  });

  test("takes a refusal by the fence for a loss that was not noticed yet", async () => {
    const { keyspace, election, candidates, depose, options } = open();
    const value = keyspace.value("a", json<number>());
    const write = vi.fn<(leadership: Leadership) => Promise<unknown>>(async ({ fence, lost }) => {
      if (write.mock.calls.length === 1) {
        keyspace.pause();
        await depose();
        expect(lost.aborted).toBe(false);
      }
      return keyspace.transaction([fence, put(value, 1)]);
    });
    const leading = lead(election, "me", write, options);
    await until(() => write.mock.calls.length === 1);
    keyspace.resume();
    await leading;
    expect(write).toHaveBeenCalledTimes(2);
    expect((await candidates.read()).changes).toEqual([]);
  });

  test.for<[string, Error]>([
    ["EV_CONFLICT of another key", errorOf("EV_CONFLICT", "another", { key: "a", currentRevision: 1 })],
    ["EV_UNAVAILABLE", lostAnswer],
    ["an AbortError", new DOMException("aborted", "AbortError")],
  ])("rejects with %s of a task that leads, when it has resigned", async ([, error]) => {
    const { election, candidates, options } = open();
    const leading = lead(
      election,
      "me",
      () => {
        throw error;
      },
      options,
    );
    expect(await rejection(leading)).toBe(error);
    expect((await candidates.read()).changes).toEqual([]);
  });

  test("rejects with another error of a task whose leadership was lost", async () => {
    const { election, depose, options } = open();
    const { task, runs } = manualTask<Leadership, LeadContext>();
    const leading = lead(election, "me", task, options);
    await until(() => runs.length === 1);
    await depose();
    await until(() => runs[0]!.context.signal.aborted);
    runs[0]?.fail(new TypeError("a mistake"));
    expect(await rejection(leading)).toEqual(new TypeError("a mistake"));
  });

  test.for<["returns" | "fails"]>([["returns"], ["fails"]])(
    "on abort waits for the task, resigns, and rejects with the reason, also where it %s then",
    async ([how]) => {
      const { election, isLed, candidates, stop, options } = open();
      const { task, runs } = manualTask<Leadership, LeadContext>();
      const leading = lead(election, "me", task, options);
      const outcome = observe(leading);
      await until(() => runs.length === 1);
      stop.abort("enough");
      expect(runs[0]!.context.signal.reason).toBe("enough");
      await turn();
      expect(outcome().state).toBe("pending");
      await isLed("me");
      if (how === "returns") runs[0]?.end();
      else runs[0]?.fail(new Error("cannot"));
      expect(await rejection(leading)).toBe("enough");
      expect((await candidates.read()).changes).toEqual([]);
    },
  );

  test("an abort withdraws from a campaign, and ends the wait for the next one", async () => {
    const { election, candidates, stop, options } = open();
    const leadership = await election.campaign("other");
    const task = vi.fn<() => void>();
    const abort = (): void => stop.abort("enough");
    const waiting = lead(election, "me", task, options);
    await until(() => getEventListeners(stop.signal, "abort").length > 0);
    await turn();
    const retrying = lead(electionOf(lostAnswer), "me", task, options);
    await turn();
    const leading = lead(electionOf(leadership), "me", abort, options);
    expect([await rejection(waiting), await rejection(retrying)]).toEqual(["enough", "enough"]);
    expect(await rejection(leading)).toBe("enough");
    expect(await rejection(lead(electionOf(), "me", task, options))).toBe("enough");
    await leadership.resign();
    await vi.waitFor(async () => expect((await candidates.read()).changes).toEqual([]));
    expect(task).not.toHaveBeenCalled();
  });

  test("campaigns again after EV_UNAVAILABLE and EV_LEASE_NOT_FOUND, and rejects with any other refusal", async () => {
    const { keyspace, election } = open();
    keyspace.failNextWrite({ error: errorOf("EV_LEASE_NOT_FOUND", "no such lease", {}) });
    expect(await lead(election, "me", () => "led")).toBe("led");
    const leadership = await election.campaign("me");
    expect(await lead(electionOf(lostAnswer, lostAnswer, leadership), "me", () => "led")).toBe("led");
    const denied = errorOf("EV_PERMISSION_DENIED", "no", {});
    expect(await codeOf(lead(electionOf(denied), "me", () => "led"))).toBe("EV_PERMISSION_DENIED");
    void lead(electionOf(denied), "me", () => "led");
    await turn();
  });

  test("resolves also where it cannot resign", async () => {
    const { election } = open();
    const leadership = await election.campaign("me");
    const { lost, fence, revision } = leadership;
    const resign = vi.fn<() => Promise<void>>(() => Promise.reject(new Error("out of reach")));
    const stuck = { lost, fence, revision, resign } as Partial<Leadership> as Leadership;
    expect(await lead(electionOf(stuck), "me", () => "led")).toBe("led");
    expect(resign).toHaveBeenCalledOnce();
  });

  test("may be dropped, and aborted", async () => {
    const { election, stop, options } = open();
    const task = vi.fn<(leadership: Leadership, context: LeadContext) => Promise<never>>((_, { signal }) =>
      aborted(signal),
    );
    void lead(election, "me", task, options);
    await until(() => task.mock.calls.length === 1);
    stop.abort();
    await turn();
  });

  test("refuses at the call what is none of its arguments", () => {
    const { election } = open();
    const task = (): void => {};
    expect(() => lead({} as never, "me", task)).toThrow(TypeError);
    expect(() => lead(undefined as never, "me", task)).toThrow(TypeError);
    expect(() => lead(election, 1 as never, task)).toThrow(TypeError);
    expect(() => lead(election, "\ud800", task)).toThrow(TypeError);
    expect(() => lead(election, "me", 1 as never)).toThrow(TypeError);
    expect(() => lead(election, "me", task, { ttl: 1 } as never)).toThrow(TypeError);
    expect(() => lead(election, "me", task, { ttlMs: "1" as never })).toThrow(TypeError);
    expect(() => lead(election, "me", task, { ttlMs: -1 })).toThrow(RangeError);
  });
});
