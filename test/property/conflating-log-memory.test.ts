import { describe, expect, test } from "vitest";
import { ConflatingLog, type Cursor } from "../../src/range/conflating-log.ts";
import { Random, seed } from "../support/seed.ts";

const bytes = [0, 1, 2, 3].map((byte) => Uint8Array.of(byte));

/** A store that writes to a log, one key a revision. */
class Writer {
  readonly log = new ConflatingLog();
  /** The largest footprint the log has had. */
  most = 0;
  #revision = 0;

  put(key: string): void {
    this.#revision++;
    const createRevision = this.log.get(key)?.createRevision ?? this.#revision;
    this.log.put(key, bytes[this.#revision % bytes.length] as Uint8Array, this.#revision, createRevision);
    this.#settle();
  }

  delete(key: string): void {
    this.log.delete(key, ++this.#revision);
    this.#settle();
  }

  drained(): Cursor {
    const cursor = this.log.join();
    cursor.batch();
    return cursor;
  }

  #settle(): void {
    this.log.settle(this.#revision);
    this.most = Math.max(this.most, this.log.footprint);
  }
}

/** What a log may hold: see I5 there. An entry has a slot and may be waiting for a sweep, as may its slot. */
function limit(liveOrOwed: number, lifetimes: number, marks: number): number {
  return 4 * (liveOrOwed + lifetimes) + 2 * marks + 64;
}

describe(`the memory of a conflating log (seed ${seed})`, () => {
  test("follows its keys over 300,000 updates beside an idle watcher", () => {
    const random = new Random(seed);
    const writer = new Writer();
    for (let i = 0; i < 1_000; i++) writer.put(`k${i}`);
    const idle = writer.drained();
    const following = writer.log.join();
    for (let i = 0; i < 300_000; i += 3) {
      writer.put(`k${random.below(1_000)}`);
      writer.put(`passing-${i}`);
      if (random.below(10) === 0) following.batch();
      else following.next();
      writer.delete(`passing-${i}`);
    }
    expect(writer.most).toBeLessThan(limit(1_000 + 100, 100, 2));
    expect(idle.batch()).toHaveLength(1_000);
  });

  test("follows what an idle watcher holds, also where keys come and go again", () => {
    const random = new Random(seed);
    const writer = new Writer();
    for (let i = 0; i < 500; i++) writer.put(`k${i}`);
    const idle = writer.drained();
    for (let i = 0; i < 100_000; i++) {
      const key = `k${random.below(1_000)}`;
      if (random.below(2) === 0) writer.put(key);
      else writer.delete(key);
    }
    expect(writer.most).toBeLessThan(limit(1_000, 500, 1));
    idle.batch();
    const { size } = writer.log;
    for (let i = 0; i < 5_000; i++) writer.put("k0");
    expect(writer.log.tombstones).toBe(0);
    expect(writer.log.footprint).toBeLessThan(limit(size + 1, 0, 1));
  });

  test("follows its keys beside a watcher that never catches up", () => {
    const writer = new Writer();
    for (let i = 0; i < 1_000; i++) writer.put(`k${i}`);
    const slow = writer.drained();
    for (let i = 0; i < 1_000; i++) writer.put(`k${i}`);
    let read = 0;
    let listed = 0;
    for (let i = 0; i < 100_000; i++) {
      writer.put(`passing-${i}`);
      writer.put(`k${i % 1_000}`);
      if (slow.next() !== undefined) read++;
      if (i >= 500) writer.delete(`passing-${i - 500}`);
      listed = Math.max(listed, slow.footprint);
    }
    expect(read, "it never caught up").toBe(100_000);
    expect(listed).toBeGreaterThan(500);
    expect(listed).toBeLessThan(3_000);
    expect(writer.most).toBeLessThan(limit(3_000, 1_000, 1));
  });

  test("takes little of each of 10,000 idle watchers that stand apart", () => {
    const writer = new Writer();
    const idle: Cursor[] = [];
    for (let i = 0; i < 10_000; i++) {
      writer.put(`k${i % 100}`);
      idle.push(writer.drained());
    }
    for (let i = 0; i < 100_000; i++) writer.put(`k${i % 100}`);
    expect(writer.most).toBeLessThan(limit(100, 0, 10_000));
    for (const cursor of idle) cursor.close();
    writer.put("k0");
    expect(writer.log.footprint).toBeLessThan(limit(100, 0, 0));
  });
});
