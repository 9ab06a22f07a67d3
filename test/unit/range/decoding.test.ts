import { describe, expect, test } from "vitest";
import { text } from "event-value";
import { changeOf } from "../../../src/range/decoding.ts";
import type { LogEntry } from "../../../src/range/conflating-log.ts";

/** An entry as the log gives it, which unpacks its bytes each time they are read. */
function entryOf(content: string): { entry: LogEntry; unpacked: () => number } {
  let unpacked = 0;
  const entry = {
    key: "a",
    live: true,
    revision: 3,
    createRevision: 2,
    decoded: undefined,
    get bytes(): Uint8Array {
      unpacked++;
      return new TextEncoder().encode(content);
    },
  };
  return { entry, unpacked: () => unpacked };
}

describe("K10 shared: what is decoded", () => {
  test("is unpacked once for all watchers", () => {
    const { entry, unpacked } = entryOf("one");
    for (let watcher = 0; watcher < 3; watcher++) {
      expect(changeOf(entry, text.decode)).toEqual({
        type: "put",
        key: "a",
        value: "one",
        revision: 3,
        createRevision: 2,
      });
    }
    expect(unpacked()).toBe(1);
  });

  test("or rejected has its bytes, for each watcher an array of its own", () => {
    const { entry } = entryOf("one");
    const reject = (): never => {
      throw new Error("no");
    };
    const [first, second] = [changeOf(entry, reject), changeOf(entry, reject)];
    expect(first).toMatchObject({ type: "invalid", bytes: new TextEncoder().encode("one") });
    expect((first as { bytes: Uint8Array }).bytes).not.toBe((second as { bytes: Uint8Array }).bytes);
  });
});
