import { describe, expect, test } from "vitest";
import { coloured, type Paint, plain } from "../../src/cli/paint.ts";
import { LiveTable, type Subject } from "../../src/cli/table.ts";
import { EventValueError } from "../../src/errors.ts";
import type { Batch, InvalidUpdate, KeyUpdate, Status } from "../../src/keyspace.ts";
import { TerminalModel } from "./terminal-model.ts";

const endpoints = ["http://127.0.0.1:2379"];
const live: Status = { state: "live", revision: 9 };

/** A table at a clock that the test turns. */
class Watched {
  readonly table: LiveTable;
  now = 1000;
  revision = 0;

  constructor(subject: Partial<Subject> = {}, paint: Paint = plain) {
    this.table = new LiveTable({ key: "s/", range: true, base64: false, endpoints, ...subject }, paint);
    this.table.status = live;
  }

  batch(type: Batch<Uint8Array>["type"], ...changes: ReadonlyArray<KeyUpdate<Uint8Array> | InvalidUpdate>): this {
    this.revision = Math.max(this.revision, ...changes.map(({ revision }) => revision));
    this.table.apply({ type, revision: this.revision, changes }, this.now);
    return this;
  }

  after(ms: number): this {
    this.now += ms;
    return this;
  }

  lines(columns = 60, rows = 20): string[] {
    return this.table.frame({ columns, rows }, this.now).map((line) => line.plain.trimEnd());
  }
}

function put(key: string, value: string | Uint8Array, revision: number): KeyUpdate<Uint8Array> {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return { type: "put", key, value: bytes, revision, createRevision: 1 };
}

function del(key: string, revision: number): KeyUpdate<Uint8Array> {
  return { type: "delete", key, revision };
}

describe("the live table", () => {
  test("shows key, value, revision and age in the order of the keys", () => {
    const watched = new Watched().batch("snapshot", put("s/b", "two", 5), put("s/a", "one", 7));
    watched
      .after(61_000)
      .batch("update", put("s/c", "three", 12))
      .after(3999);
    expect(watched.lines()).toEqual([
      "● live  s/*  3 keys  revision 12  at http://127.0.0.1:2379",
      "KEY  VALUE  REVISION     AGE",
      "s/a  one           7  >1m04s",
      "s/b  two           5  >1m04s",
      "s/c  three        12      3s",
    ]);
  });

  test("counts the age from when this client saw the change", () => {
    const watched = new Watched({ key: "s", range: false }).batch("snapshot", put("s", "v", 1));
    const ages = [0, 59_999, 60_000, 3_599_000, 3_600_000, 86_399_000, 86_400_000, 100 * 86_400_000];
    const began = watched.now;
    expect(
      ages.map((ms) => {
        watched.now = began + ms;
        return watched.lines()[2]?.split(/ +/).at(-1);
      }),
    ).toEqual([">0s", ">59s", ">1m00s", ">59m59s", ">1h00m", ">23h59m", ">1d00h", ">100d00h"]);
    watched.batch("update", put("s", "w", 2));
    expect(watched.lines()[2]).toMatch(/ 0s$/);
  });

  test("says that a single key is absent, before it came and after it went", () => {
    const watched = new Watched({ key: "k", range: false }).batch("snapshot");
    const row = (): string | undefined => watched.lines()[2]?.replace(/ +/g, " ");
    expect(row()).toBe("k (absent) - >0s");
    watched.after(1000).batch("update", put("k", "here", 4));
    expect(row()).toBe("k here 4 0s");
    watched.after(1000).batch("update", del("k", 6)).after(60_000);
    expect(row()).toBe("k (absent) 6 1m00s");
  });

  test("keeps a deleted key of a range for five seconds", () => {
    const watched = new Watched().batch("snapshot", put("s/a", "one", 1)).batch("update", del("s/a", 2));
    expect(watched.lines()[0]).toContain("  0 keys  revision ");
    expect(watched.after(4999).lines()[2]).toMatch(/^s\/a {2}\(deleted\) +2 +4s$/);
    expect(watched.after(1).lines().slice(2)).toEqual(["(no keys)"]);
    watched.batch("update", put("s/a", "again", 3)).after(60_000);
    expect(watched.lines()[2]).toContain("again");
  });

  test("tells the empty value, bytes that are not text, and keys that are not", () => {
    const error = new EventValueError("EV_DECODE", "no");
    const watched = new Watched().batch("snapshot", put("s/a", "", 1), put("s/b", new Uint8Array([0xff, 0xd8]), 2), {
      type: "invalid",
      key: "s/\ufffd",
      bytes: new Uint8Array([0xff]),
      revision: 3,
      error,
    });
    expect(
      watched
        .lines()
        .slice(2)
        .map((line) => line.split(/ {2,}/).slice(0, 2)),
    ).toEqual([
      ["s/a", "(empty)"],
      ["s/b", "(base64) /9g="],
      ["s/\ufffd", "(base64) /w=="],
    ]);
    const base64 = new Watched({ base64: true }).batch("snapshot", put("s/a", "text", 1));
    expect(base64.lines()[2]).toContain("dGV4dA==");
  });

  test("shows as many rows as fit, and how many more there are", () => {
    const keys = Array.from({ length: 10 }, (_, i) => put(`s/${i}`, "v", i + 1));
    const watched = new Watched().batch("snapshot", ...keys);
    expect(watched.lines(60, 12)).toHaveLength(12);
    expect(watched.lines(60, 12).at(-1)).toMatch(/^s\/9/);
    expect(watched.lines(60, 11)).toHaveLength(11);
    expect(watched.lines(60, 11).at(-1)).toBe("… 2 more");
    expect(
      watched
        .lines(60, 4)
        .slice(1)
        .map((line) => line.slice(0, 8).trim()),
    ).toEqual(["KEY  VAL", "s/0  v", "… 9 more"]);
    for (const rows of [3, 2, 1]) expect(watched.lines(60, rows)).toHaveLength(rows);
  });

  test.each([1, 2, 5, 10, 20, 30, 40, 60, 80, 200])("is never wider than %d columns", (columns) => {
    const watched = new Watched().batch(
      "snapshot",
      put("s/値は日本語です", "値は日本語です".repeat(50), 123_456_789),
      put(`s/${"long".repeat(50)}`, "v", 1),
    );
    for (const line of watched.table.frame({ columns, rows: 20 }, watched.now))
      expect(line.cells).toBeLessThanOrEqual(columns);
  });

  test("cuts values first, then the prefix of the keys, then keys, and drops revision and age at last", () => {
    const watched = new Watched({ key: "watched/" }).batch(
      "snapshot",
      put("watched/long-key", "a value that is rather long as well", 1),
      put("watched/", "v", 2),
    );
    const [first, second] = [3, 2];
    expect(watched.lines(60)[first]).toBe("watched/long-key  a value that is rather lo…         1   >0s");
    expect(watched.lines(44)[first]).toBe("…long-key  a value that is …         1   >0s");
    expect(watched.lines(44)[second]).toBe("watched/   v                         2   >0s");
    expect(watched.lines(40)[first]).toBe("watched/long-key  a value that is rathe…");
    expect(watched.lines(30)[first]).toBe("…long-key  a value that is ra…");
    expect(watched.lines(16)[first]).toBe("…long-…  a valu…");
  });

  test("stands still while values get shorter", () => {
    const watched = new Watched().batch("snapshot", put("s/a", "a long value", 1));
    const [, header] = watched.lines();
    watched.batch("update", put("s/a", "v", 2));
    expect(watched.lines()[1]).toBe(header);
  });

  test("lets no value and no key control the terminal", () => {
    const attack = "\x1b[2J\x1b]0;title\x07\x9b31m\r\n\u202eevil";
    const watched = new Watched({}, coloured).batch(
      "snapshot",
      put(`s/${attack}`, attack, 1),
      put("s/b", "x".repeat(2000), 1),
    );
    const terminal = new TerminalModel(200, 10);
    for (const line of watched.table.frame({ columns: 199, rows: 9 }, watched.now))
      terminal.write(`${line.styled}\r\n`);
    expect(terminal.text).toContain("s/\\x1b[2J\\x1b]0;title\\x07\\x9b31m\\r\\n\\u202eevil  \\x1b[2J");
    expect(terminal.text).not.toContain("\\x1b[1m");
  });

  test("lines up its columns whatever width a terminal gives to a character", () => {
    // This one takes the family for six cells, the others for two.
    const watched = new Watched().batch("snapshot", put("s/👨\u200d👩\u200d👧", "family", 1), put("s/a", "letter", 2));
    const terminal = new TerminalModel(80, 10);
    for (const line of watched.table.frame({ columns: 79, rows: 9 }, watched.now)) terminal.write(`${line.styled}\r\n`);
    const [, , letter, family] = terminal.lines;
    expect(letter).toMatch(/^s\/a +letter +2 +>0s$/);
    expect(family).toMatch(/1 +>0s$/);
  });
});

describe("the status line", () => {
  const first = (status: Status, date?: Date): string | undefined => {
    const { table } = new Watched().batch("snapshot");
    table.status = status;
    return table.frame({ columns: 100, rows: 9 }, 0, date)[0]?.plain;
  };
  const since = new Date(1_000_000);
  const date = new Date(1_065_000);
  const cause = Object.assign(new Error("http://a:1: UNAVAILABLE: no connection: connect ECONNREFUSED 127.0.0.1:1"), {
    endpoint: "http://a:1",
    details: "no connection: connect ECONNREFUSED 127.0.0.1:1",
  });

  test("says live, connecting or stale, since when and why", () => {
    expect(first(live)).toBe("● live  s/*  0 keys  revision 9  at http://127.0.0.1:2379");
    expect(first({ state: "stale", since, cause }, date)).toBe("▲ stale for 1m05s  http://a:1: connection refused");
    expect(first({ state: "connecting", since, cause }, date)).toBe(
      "○ connecting for 1m05s  http://a:1: connection refused",
    );
    expect(first({ state: "connecting", since }, since)).toBe("○ connecting for 0s  http://127.0.0.1:2379");
  });

  test("stands alone until the store has told what there is", () => {
    const { table } = new Watched();
    expect(table.frame({ columns: 100, rows: 9 }, 0)).toHaveLength(1);
  });

  test("names all keys, or the one", () => {
    expect(new Watched({ key: "" }).lines()[0]).toContain("live  all keys");
    expect(new Watched({ key: "k", range: false }).lines()[0]).toBe("● live  k  revision 9  at http://127.0.0.1:2379");
  });

  test("is one line, whatever a server has said", () => {
    const status: Status = { state: "stale", since, cause: new Error("a\n\x1b[31mb") };
    expect(first(status, since)).toBe("▲ stale for 0s  a \\x1b[31mb");
  });

  test("has colours only where they are wanted", () => {
    const frame = (paint: Paint): string => {
      const watched = new Watched({}, paint).batch("snapshot", put("s/a", "v", 1)).batch("update", put("s/b", "", 2));
      return watched.table
        .frame({ columns: 60, rows: 9 }, watched.now)
        .map(({ styled }) => styled)
        .join("\n");
    };
    expect(frame(coloured)).toContain("\x1b[32m");
    expect(frame(plain)).not.toMatch(/\x1b\[[\d;]*m/);
  });
});
