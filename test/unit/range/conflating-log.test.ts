import { beforeEach, describe, expect, test } from "vitest";
import { ConflatingLog, type Cursor, type LogEntry, type StoredKey } from "../../../src/range/conflating-log.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

let log: ConflatingLog;
beforeEach(() => {
  log = new ConflatingLog();
});

/** Puts a key as a revision of its own. */
function put(key: string, value: string, revision: number, createRevision = revision): void {
  log.put(key, encoder.encode(value), revision, createRevision);
  log.settle(revision);
}

/** Deletes a key as a revision of its own. */
function remove(key: string, revision: number): void {
  log.delete(key, revision);
  log.settle(revision);
}

function stored(key: string, value: string, revision: number, createRevision = revision): StoredKey {
  return { key, bytes: encoder.encode(value), revision, createRevision };
}

/** `a=1@5` for a put, `-a@6` for a delete. */
function shown(entry: LogEntry): string {
  return entry.live
    ? `${entry.key}=${decoder.decode(entry.bytes)}@${entry.revision}`
    : `-${entry.key}@${entry.revision}`;
}

function next(cursor: Cursor): string | undefined {
  const entry = cursor.next();
  return entry && shown(entry);
}

function batch(cursor: Cursor): string {
  return cursor.batch().map(shown).join(" ");
}

/** A cursor that has read everything. */
function drained(): Cursor {
  const cursor = log.join();
  cursor.batch();
  return cursor;
}

describe("a cursor of a conflating log", () => {
  test("is handed all live keys first, in the order of their last change", () => {
    put("a", "1", 1);
    put("b", "1", 2);
    put("c", "1", 3);
    put("a", "2", 4, 1);
    remove("c", 5);
    expect(batch(log.join())).toBe("b=1@2 a=2@4");
  });

  test("is handed the same by single gets", () => {
    put("a", "1", 1);
    put("b", "1", 2);
    put("a", "2", 3, 1);
    const cursor = log.join();
    expect([next(cursor), next(cursor), next(cursor)]).toEqual(["b=1@2", "a=2@3", undefined]);
  });

  test("is handed the newest state of each key that changed, once", () => {
    put("a", "1", 1);
    put("b", "1", 2);
    const cursor = drained();
    put("a", "2", 3, 1);
    put("b", "2", 4, 2);
    put("a", "3", 5, 1);
    expect(batch(cursor)).toBe("b=2@4 a=3@5");
    expect(batch(cursor)).toBe("");
    expect(next(cursor)).toBeUndefined();
  });

  test("is handed by a batch what single gets have left, and brought to the state at the log's revision", () => {
    put("a", "1", 1);
    put("b", "1", 2);
    put("c", "1", 3);
    const cursor = log.join();
    expect(next(cursor)).toBe("a=1@1");
    remove("a", 4);
    put("b", "2", 5, 2);
    expect(batch(cursor)).toBe("c=1@3 -a@4 b=2@5");
    expect(batch(cursor)).toBe("");
  });

  test("is pristine until it is asked, even if there is nothing to be had", () => {
    const [single, whole] = [log.join(), log.join()];
    expect([single.pristine, whole.pristine]).toEqual([true, true]);
    expect(single.next()).toBeUndefined();
    expect(whole.batch()).toEqual([]);
    expect([single.pristine, whole.pristine]).toEqual([false, false]);
  });

  test("is handed a change of a key it was handed before in the same pass", () => {
    put("a", "1", 1);
    put("b", "1", 2);
    const cursor = log.join();
    expect(next(cursor)).toBe("a=1@1");
    put("a", "2", 3, 1);
    expect([next(cursor), next(cursor), next(cursor)]).toEqual(["b=1@2", "a=2@3", undefined]);
  });

  test("ends its pass with the last change, so that it lists nothing while it is idle", () => {
    put("gone", "1", 1);
    for (let i = 2; i < 10; i++) put(`k${i}`, "1", i);
    remove("gone", 10);
    const cursor = log.join();
    for (let i = 2; i < 9; i++) cursor.next();
    expect(cursor.footprint).toBe(7);
    expect(next(cursor)).toBe("k9=1@9");
    expect(cursor.footprint).toBe(0);
    expect(next(cursor)).toBeUndefined();
  });

  test("keeps its place when blank slots are swept before and behind it", () => {
    for (let i = 0; i < 100; i++) put(`k${i}`, "1", i + 1);
    const cursor = log.join();
    for (let i = 0; i < 50; i++) expect(next(cursor)).toBe(`k${i}=1@${i + 1}`);
    for (let i = 0; i < 10_000; i++) put(`k${i % 2 === 0 ? 10 : 60}`, `${i}`, 101 + i, 1);
    expect(log.sweeps).toBeGreaterThan(0);
    const unchanged = Array.from({ length: 50 }, (_, i) => `k${50 + i}=1@${51 + i}`).filter(
      (change) => !change.startsWith("k60="),
    );
    expect(batch(cursor)).toBe([...unchanged, "k10=9998@10099", "k60=9999@10100"].join(" "));
  });

  test("is handed nothing once it is closed, and closing it again does nothing", () => {
    put("a", "1", 1);
    const cursor = log.join();
    cursor.close();
    cursor.close();
    expect(cursor.next()).toBeUndefined();
    expect(cursor.batch()).toEqual([]);
    expect(log.marks.size).toBe(0);
  });

  test("leaves nothing behind when it closes, drained or in mid-pass", () => {
    for (let i = 0; i < 100; i++) put(`k${i}`, "1", i + 1);
    const [idle, busy] = [drained(), log.join()];
    for (let i = 0; i < 50; i++) busy.next();
    for (let i = 0; i < 100; i++) remove(`k${i}`, 101 + i);
    expect(log.tombstones).toBe(100);
    idle.close();
    log.settle(201);
    expect(log.tombstones).toBe(50);
    busy.close();
    expect(log.tombstones).toBe(0);
    expect(log.footprint).toBe(0);
  });
});

describe("an equal put", () => {
  test("tells nobody who has the key, and records its revision", () => {
    put("a", "1", 1);
    put("b", "1", 2);
    const cursor = drained();
    put("a", "1", 3, 1);
    expect(batch(cursor)).toBe("");
    expect(log.get("a")?.revision).toBe(3);
    expect(batch(log.join())).toBe("b=1@2 a=1@3");
  });

  test("tells nobody who was handed the key in the pass that is under way", () => {
    put("a", "1", 1);
    put("b", "1", 2);
    put("c", "1", 3);
    const cursor = log.join();
    expect(next(cursor)).toBe("a=1@1");
    put("a", "1", 4, 1);
    put("b", "1", 5, 2);
    expect(batch(cursor)).toBe("c=1@3 b=1@5");
  });

  test("is one of equal bytes, whatever array they are in", () => {
    put("a", "1", 1);
    put("b", "12", 2);
    put("c", "", 3);
    const cursor = drained();
    put("a", "1", 4, 1);
    put("b", "12", 5, 2);
    put("c", "", 6, 3);
    expect(batch(cursor)).toBe("");
    put("a", "2", 7, 1);
    put("b", "1", 8, 2);
    put("c", "1", 9, 3);
    expect(batch(cursor)).toBe("a=2@7 b=1@8 c=1@9");
  });

  test("is not one that restores what was, unread: A, B, A is handed as A", () => {
    put("a", "A", 1);
    const cursor = drained();
    put("a", "B", 2, 1);
    put("a", "A", 3, 1);
    expect(batch(cursor)).toBe("a=A@3");
  });

  test("is not one of a key that was created anew", () => {
    put("a", "1", 1);
    const cursor = drained();
    remove("a", 2);
    put("a", "1", 3);
    expect(batch(cursor)).toBe("a=1@3");
  });

  test("is not one of a key that was deleted and created anew in one revision", () => {
    put("a", "1", 1);
    const cursor = drained();
    log.delete("a", 2);
    log.put("a", encoder.encode("1"), 2, 2);
    log.settle(2);
    expect(batch(cursor)).toBe("a=1@2");
  });

  test("changes nothing at all when its revision is known, too", () => {
    put("a", "1", 1);
    put("b", "1", 2);
    put("a", "1", 1);
    expect(batch(log.join())).toBe("a=1@1 b=1@2");
  });
});

describe("a deletion", () => {
  test("is told to who was handed the key, once", () => {
    put("a", "1", 1);
    const cursor = drained();
    remove("a", 2);
    remove("a", 3);
    expect(batch(cursor)).toBe("-a@2");
    expect(batch(cursor)).toBe("");
  });

  test("has no bytes and no creation", () => {
    put("a", "1", 1);
    const cursor = drained();
    remove("a", 2);
    const entry = cursor.next();
    expect([entry?.live, entry?.bytes.length, entry?.createRevision]).toEqual([false, 0, 0]);
  });

  test("of a key with no bytes is one all the same: empty is not absent", () => {
    const cursor = log.join();
    put("a", "", 1);
    expect(next(cursor)).toBe("a=@1");
    remove("a", 2);
    expect(next(cursor)).toBe("-a@2");
  });

  test("of a key that does not exist is none", () => {
    remove("a", 1);
    expect(log.revision).toBe(1);
    expect(log.footprint).toBe(0);
  });

  test("of a key nobody was handed leaves nothing behind", () => {
    const [drain, fresh] = [drained(), log.join()];
    put("a", "1", 1);
    remove("a", 2);
    expect(log.tombstones).toBe(0);
    expect(batch(drain)).toBe("");
    expect(batch(fresh)).toBe("");
  });

  test("is not lost where the key came after the pass had begun, and was handed in it", () => {
    put("a", "1", 1);
    put("b", "1", 2);
    const cursor = log.join();
    expect(next(cursor)).toBe("a=1@1");
    put("c", "1", 3);
    expect(next(cursor)).toBe("b=1@2");
    put("d", "1", 4);
    expect(next(cursor)).toBe("c=1@3");
    remove("c", 5);
    expect([next(cursor), next(cursor), next(cursor)]).toEqual(["d=1@4", "-c@5", undefined]);
  });

  test("is not lost where the key came back, unread, and went again", () => {
    put("a", "1", 1);
    const cursor = drained();
    remove("a", 2);
    put("a", "2", 3);
    remove("a", 4);
    expect(batch(cursor)).toBe("-a@4");
  });

  test("is not invented for who drained while the key was away", () => {
    put("a", "1", 1);
    const before = drained();
    remove("a", 2);
    put("b", "1", 3);
    const between = drained();
    put("a", "2", 4);
    remove("a", 5);
    expect(batch(between)).toBe("");
    expect(batch(before)).toBe("b=1@3 -a@5");
  });

  test("is not invented for who was about to be handed the key when it moved on", () => {
    put("a", "1", 1);
    put("b", "1", 2);
    put("c", "1", 3);
    const cursor = log.join();
    expect(next(cursor)).toBe("a=1@1");
    put("b", "2", 4, 2);
    expect(next(cursor)).toBe("c=1@3");
    remove("b", 5);
    put("d", "1", 6);
    expect([next(cursor), next(cursor)]).toEqual(["d=1@6", undefined]);
  });

  test("is told each to whom it concerns, over many lifetimes", () => {
    const cursors: Cursor[] = [];
    for (let life = 0; life < 5; life++) {
      put("a", "1", 4 * life + 1);
      cursors.push(drained());
      remove("a", 4 * life + 2);
      put("b", "1", 4 * life + 3, 3);
      cursors.push(drained());
    }
    expect(cursors.map(batch)).toEqual(["-a@18 b=1@19", "", "-a@18", "", "-a@18", "", "-a@18", "", "-a@18", ""]);
  });

  test("is not told twice where the key came back and went again in the same pass", () => {
    put("a", "1", 1);
    const cursor = drained();
    remove("a", 2);
    put("b", "1", 3);
    expect(next(cursor)).toBe("-a@2");
    put("a", "2", 4);
    remove("a", 5);
    expect([next(cursor), next(cursor)]).toEqual(["b=1@3", undefined]);
  });

  test("is told anew where the key came back, was handed, and went again in the same pass", () => {
    put("a", "1", 1);
    const cursor = drained();
    remove("a", 2);
    put("b", "1", 3);
    expect(next(cursor)).toBe("-a@2");
    put("a", "2", 4);
    put("c", "1", 5);
    expect([next(cursor), next(cursor)]).toEqual(["b=1@3", "a=2@4"]);
    remove("a", 6);
    expect([next(cursor), next(cursor), next(cursor)]).toEqual(["c=1@5", "-a@6", undefined]);
  });

  test("is kept beside an idle cursor only if that cursor holds the key", () => {
    put("a", "1", 1);
    put("b", "1", 2);
    const idle = drained();
    remove("a", 3);
    for (let i = 0; i < 10_000; i++) {
      put("passing", "1", 4 + 2 * i);
      remove("passing", 5 + 2 * i);
      expect(log.tombstones).toBe(1);
    }
    expect(log.footprint).toBeLessThan(64);
    expect(batch(idle)).toBe("-a@3");
  });

  test("is forgotten when the last cursor that holds the key was told", () => {
    for (let i = 0; i < 1_000; i++) put(`k${i}`, "1", i + 1);
    const [first, second] = [drained(), drained()];
    for (let i = 0; i < 1_000; i++) remove(`k${i}`, 1_001 + i);
    first.batch();
    expect(log.tombstones).toBe(1_000);
    for (let i = 0; i < 1_000; i++) second.next();
    expect(log.tombstones).toBe(0);
    expect(log.footprint).toBe(0);
  });
});

describe("merging a snapshot", () => {
  test("into an empty log makes it the first state, in revision order", () => {
    const cursor = log.join();
    log.merge([stored("a", "1", 7, 2), stored("b", "1", 3), stored("c", "1", 5, 4)], 9, { rewound: false });
    expect(log.revision).toBe(9);
    expect(log.size).toBe(3);
    expect(batch(cursor)).toBe("b=1@3 c=1@5 a=1@7");
  });

  test("leaves the order of keys of one revision, and the argument, as they are", () => {
    const keys = [stored("c", "1", 5), stored("a", "1", 5), stored("b", "1", 4)];
    const given = [...keys];
    log.merge(keys, 5, { rewound: false });
    expect(keys).toEqual(given);
    expect(batch(log.join())).toBe("b=1@4 c=1@5 a=1@5");
  });

  test("hands the difference only: changed keys once, then vanished ones as deletes at its revision", () => {
    for (const [i, key] of ["same", "changed", "vanished", "restamped", "anew"].entries()) put(key, "1", i + 1);
    const cursor = drained();
    const keys = [
      stored("anew", "1", 11, 11),
      stored("changed", "2", 12, 2),
      stored("new", "1", 8),
      stored("restamped", "1", 9, 4),
      stored("same", "1", 1),
    ];
    log.merge(keys, 20, { rewound: false });
    expect(batch(cursor)).toBe("new=1@8 anew=1@11 changed=2@12 -vanished@20");
    expect(batch(log.join())).toBe("same=1@1 new=1@8 restamped=1@9 anew=1@11 changed=2@12");
  });

  test("tells of a vanished key only who was handed it", () => {
    const fresh = log.join();
    put("a", "1", 1);
    put("b", "1", 2);
    const reading = log.join();
    expect(next(reading)).toBe("a=1@1");
    log.merge([], 5, { rewound: false });
    expect(batch(reading)).toBe("-a@5");
    expect(batch(fresh)).toBe("");
  });

  test("takes a part of a revision that was told before for what it is", () => {
    put("a", "1", 1);
    put("b", "1", 2);
    const cursor = drained();
    log.put("a", encoder.encode("2"), 3, 1);
    // The connection breaks before the rest of revision 3 came.
    log.merge([stored("a", "2", 3, 1), stored("c", "1", 3)], 3, { rewound: false });
    expect(batch(cursor)).toBe("a=2@3 c=1@3 -b@3");
  });

  test("of another history tells nobody of what is the same, and gives all revisions anew", () => {
    put("a", "1", 10, 5);
    put("b", "1", 11, 6);
    put("c", "1", 12, 7);
    const cursor = drained();
    log.merge([stored("a", "1", 8, 5), stored("b", "1", 7, 6), stored("c", "0", 7, 7)], 9, { rewound: true });
    expect(log.revision).toBe(9);
    expect(batch(cursor)).toBe("c=0@7");
    expect(batch(log.join())).toBe("b=1@7 c=0@7 a=1@8");
    put("b", "2", 10, 6);
    expect(batch(cursor)).toBe("b=2@10");
  });

  test("of another history makes deletions still owed to somebody deletions at its revision", () => {
    put("a", "1", 10);
    put("b", "1", 11);
    const cursor = drained();
    remove("a", 12);
    log.merge([stored("c", "1", 3)], 5, { rewound: true });
    expect(batch(cursor)).toBe("c=1@3 -a@5 -b@5");
  });

  test("of another history steps the revisions of single gets down once", () => {
    for (let i = 0; i < 4; i++) put(`k${i}`, "1", 10 + i);
    const cursor = log.join();
    expect([next(cursor), next(cursor)]).toEqual(["k0=1@10", "k1=1@11"]);
    log.merge([stored("k0", "1", 10), stored("k1", "0", 9, 9), stored("k2", "1", 8, 12)], 10, { rewound: true });
    expect([next(cursor), next(cursor), next(cursor)]).toEqual(["k2=1@8", "k1=0@9", undefined]);
  });

  test("takes another value for a change, even at the revision that is known", () => {
    put("a", "1", 1);
    const cursor = drained();
    log.merge([stored("a", "2", 1)], 1, { rewound: false });
    expect(batch(cursor)).toBe("a=2@1");
  });
});

describe("a conflating log", () => {
  test("gives live keys by name, and all of them in revision order", () => {
    put("a", "1", 1);
    put("b", "1", 2);
    put("c", "1", 3);
    drained();
    put("a", "2", 4, 1);
    remove("b", 5);
    expect([...log.entries()].map(shown)).toEqual(["c=1@3", "a=2@4"]);
    expect(log.get("a")?.createRevision).toBe(1);
    expect(log.get("b")).toBeUndefined();
    expect(log.get("d")).toBeUndefined();
    expect([log.size, log.tombstones, log.revision]).toEqual([2, 1, 5]);
  });

  test("keeps what was decoded of a key until its bytes or its creation change", () => {
    const decoded = { of: "a" };
    const decode = (): void => {
      (log.get("a") as LogEntry).decoded = decoded;
    };
    put("a", "1", 1);
    expect(log.get("a")?.decoded).toBeUndefined();
    decode();
    put("a", "1", 2, 1);
    log.merge([stored("a", "1", 3, 1)], 3, { rewound: false });
    log.merge([stored("a", "1", 2, 1)], 2, { rewound: true });
    expect(log.get("a")?.decoded).toBe(decoded);
    put("a", "2", 3, 1);
    expect(log.get("a")?.decoded).toBeUndefined();
    decode();
    put("a", "2", 4, 4);
    expect(log.get("a")?.decoded).toBeUndefined();
    decode();
    const cursor = drained();
    remove("a", 5);
    expect(cursor.next()?.decoded).toBeUndefined();
  });

  test("hands nothing when it settles at a revision that changed nothing", () => {
    put("a", "1", 1);
    const cursor = drained();
    log.settle(1);
    log.settle(7);
    expect(log.revision).toBe(7);
    expect(batch(cursor)).toBe("");
  });

  test("takes several revisions before it settles", () => {
    const cursor = drained();
    log.put("a", encoder.encode("1"), 1, 1);
    log.put("b", encoder.encode("1"), 1, 1);
    log.delete("a", 2);
    log.put("b", encoder.encode("2"), 3, 1);
    log.settle(3);
    expect(batch(cursor)).toBe("b=2@3");
  });
});
