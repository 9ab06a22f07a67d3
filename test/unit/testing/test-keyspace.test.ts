import { afterEach, describe, expect, test } from "vitest";
import { isEventValueError, json, type Lease, MemoryKeyspace, put, text, waitFor } from "event-value";
import { collect, collectBatches, TestKeyspace } from "event-value/testing";

const opened: MemoryKeyspace[] = [];
afterEach(async () => {
  for (const keyspace of opened.splice(0)) await keyspace.close();
});

function open(): { keyspace: TestKeyspace; other: MemoryKeyspace } {
  const keyspace = new TestKeyspace();
  const other = new MemoryKeyspace({ sharing: keyspace });
  opened.push(other, keyspace);
  return { keyspace, other };
}

/** Whether `promise` has settled once all that can happen by itself has. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = (): void => void (settled = true);
  promise.then(note, note);
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

describe("TestKeyspace", () => {
  test("pause holds deliveries back, also those of watchers that are opened meanwhile; resume gives the newest", async () => {
    const { keyspace, other } = open();
    const value = keyspace.value("a", json<number>());
    await value.set(1);
    using before = value.watch();
    expect(await before.get()).toBe(1);
    keyspace.pause();
    await value.set(2);
    await other.value("a", json<number>()).set(3);
    using meanwhile = value.watch();
    const gets = [before.get(), meanwhile.get()];
    expect(await isSettled(Promise.race(gets))).toBe(false);
    expect(await value.read()).toMatchObject({ value: 3 });
    keyspace.resume();
    expect(await Promise.all(gets)).toEqual([3, 3]);
  });

  test("goStale cuts it off, and nobody else: writes wait and are made once when it recovers", async () => {
    const { keyspace, other } = open();
    using status = collect(keyspace.status);
    await status.until((told) => told.some(({ state }) => state === "live"));
    using watcher = keyspace.value("a", text).watch();
    keyspace.goStale(new Error("pulled the plug"));
    expect(await waitFor(keyspace.status, ({ state }) => state === "stale")).toMatchObject({
      cause: new Error("pulled the plug"),
    });
    await other.value("a", text).set("theirs");
    const got = watcher.get();
    const write = keyspace.value("b", text).set("mine");
    const read = keyspace.value("a", text).read();
    expect(await isSettled(Promise.race([got, write, read]))).toBe(false);
    const controller = new AbortController();
    const aborted = keyspace.value("c", text).set("never", { signal: controller.signal });
    controller.abort("enough");
    await expect(aborted).rejects.toBe("enough");
    keyspace.recover();
    expect(await got).toBe("theirs");
    expect(await read).toMatchObject({ value: "theirs" });
    expect(await write).toEqual({ revision: 3 });
    expect(await keyspace.value("c", text).read()).toBeUndefined();
    expect(await waitFor(keyspace.status, ({ state }) => state === "live")).toMatchObject({ revision: 3 });
  });

  test("closing it while it is stale ends what waits", async () => {
    const { keyspace } = open();
    keyspace.goStale();
    const write = keyspace.value("a", text).set("x");
    await keyspace.close();
    await expect(write).rejects.toMatchObject({ code: "EV_CLOSED" });
  });

  test("failNextWrite fails one write, applied or not", async () => {
    const { keyspace } = open();
    const value = keyspace.value("a", text);
    keyspace.failNextWrite();
    keyspace.failNextWrite({ applied: true });
    keyspace.failNextWrite({ error: new Error("disk full") });
    await expect(value.set("one")).rejects.toSatisfy(
      (error) => isEventValueError(error, "EV_UNAVAILABLE") && error.maybeApplied,
    );
    expect(await value.read()).toBeUndefined();
    await expect(value.update(() => "two")).rejects.toMatchObject({ code: "EV_UNAVAILABLE" });
    expect(await value.read()).toMatchObject({ value: "two" });
    await expect(keyspace.transaction([put(value, "three")])).rejects.toThrow("disk full");
    expect(await value.set("four")).toEqual({ revision: 3 });
  });

  test("a lease ends by expireLease, by a jump beyond its time, and after a silence as long", async () => {
    const { keyspace, other } = open();
    const hold = async (key: string): Promise<Lease> => {
      const lease = await keyspace.lease({ ttlMs: 5000 });
      await keyspace.value(key, text).set("here", { lease });
      return lease;
    };
    const keys = async (): Promise<string[]> => (await other.range("", text).read()).changes.map(({ key }) => key);
    const [one, two, three] = [await hold("1"), await hold("2"), await hold("3")];
    keyspace.expireLease(one);
    expect(one.lost.aborted).toBe(true);
    expect(await keys()).toEqual(["2", "3"]);
    for (let i = 0; i < 10; i++) keyspace.jump(4999);
    expect(two.lost.aborted).toBe(false);
    await two.close();
    keyspace.jump(5000);
    expect([two.lost.aborted, three.lost.aborted]).toEqual([false, true]);
    expect(await keys()).toEqual([]);
    const four = await hold("4");
    keyspace.goStale();
    for (let i = 0; i < 4; i++) keyspace.jump(1000);
    keyspace.recover();
    keyspace.jump(4000);
    expect(four.lost.aborted).toBe(false);
    keyspace.goStale();
    for (let i = 0; i < 5; i++) keyspace.jump(1000);
    keyspace.recover();
    expect(four.lost.aborted).toBe(true);
    await expect(keyspace.value("5", text).set("late", { lease: four })).rejects.toMatchObject({
      code: "EV_LEASE_NOT_FOUND",
      key: "5",
    });
  });

  test("a lease that is closed while the store cannot be reached is there until it is, or expires", async () => {
    const { keyspace, other } = open();
    const here = async (): Promise<number> => (await other.range("", text).read()).changes.length;
    for (const how of ["reached", "expired"]) {
      const lease = await keyspace.lease({ ttlMs: 5000 });
      await keyspace.value("a", text).set("here", { lease });
      keyspace.goStale();
      const closing = lease.close();
      expect(await isSettled(closing)).toBe(false);
      expect(await here(), how).toBe(1);
      if (how === "expired") keyspace.jump(5000);
      else keyspace.recover();
      await closing;
      expect(await here(), how).toBe(0);
      expect(lease.lost.aborted).toBe(false);
      keyspace.recover();
    }
  });

  test("may be told to recover, or to go stale, when it is closed already", async () => {
    const { keyspace } = open();
    keyspace.goStale();
    await keyspace.close();
    keyspace.recover();
    keyspace.goStale();
  });

  test("refuses what makes no sense at the call", () => {
    const { keyspace } = open();
    expect(() => keyspace.jump(-1)).toThrow(RangeError);
    expect(() => keyspace.jump(Infinity)).toThrow(RangeError);
    expect(() => keyspace.jump("1" as never)).toThrow(TypeError);
    expect(() => keyspace.expireLease({ id: "7" } as Lease)).toThrow(RangeError);
    expect(() => keyspace.failNextWrite({ error: "no" as never })).toThrow(TypeError);
    expect(() => keyspace.expireLease(undefined as never)).toThrow(TypeError);
    expect(() => keyspace.failNextWrite({ aplied: true } as never)).toThrow(TypeError);
  });
});

describe("collect", () => {
  test("has everything that was delivered, goes on after an error, and ends with the keyspace", async () => {
    const { keyspace } = open();
    const value = keyspace.value("a", json<number>());
    const raw = keyspace.value("a", text);
    using told = collect(value);
    await value.set(1);
    await told.until((values) => values.length === 1);
    await raw.set("{");
    while (told.errors.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await value.set(2);
    expect(await told.until((values) => values.includes(2))).toEqual([1, 2]);
    expect(told.errors).toMatchObject([{ code: "EV_DECODE" }]);
    await keyspace.close();
    await expect(told.until((values) => values.length === 3)).rejects.toThrow(
      /ended, and it was delivered 2 values: 1, 2/,
    );
    expect(told.ended).toBe(true);
  });

  test("ends with a watcher that its own signal has closed", async () => {
    const { keyspace } = open();
    const closing = new AbortController();
    using told = collect({ watch: () => keyspace.value("a", text).watch({ signal: closing.signal }) });
    closing.abort(new Error("enough"));
    await expect(told.until(() => false)).rejects.toThrow(/ended.*enough/);
    expect(told.errors).toHaveLength(1);
  });

  test("until says what was delivered when the time is over, and rejects with what its condition throws", async () => {
    const { keyspace } = open();
    using told = collect(keyspace.value("a", text));
    await keyspace.value("a", text).set("x");
    await told.until((values) => values.length > 0);
    await expect(told.until(() => false, { timeoutMs: 1 })).rejects.toThrow(
      'within 1 ms it was delivered 1 values: "x"',
    );
    const late = told.until(({ length }) => {
      if (length === 2) throw new Error("two");
      return false;
    });
    await keyspace.value("a", text).set("y");
    await expect(late).rejects.toThrow("two");
  });

  test("collectBatches has the batches of a range", async () => {
    const { keyspace } = open();
    const range = keyspace.range("r/", text);
    using told = collectBatches(range);
    await told.until((batches) => batches.length === 1);
    await range.set("r/a", "x");
    const [first, second] = await told.until((batches) => batches.length === 2);
    expect(first).toMatchObject({ type: "snapshot", changes: [] });
    expect(second).toMatchObject({ type: "update", changes: [{ key: "r/a", value: "x" }] });
  });
});
