/**
 * The live table: what is known of the keys that are watched, as the lines to show of it. Pure; drawing is for
 * `screen.ts`.
 */
import type { Batch, Status } from "../keyspace.ts";
import { explain } from "./explain.ts";
import { type Paint, type Style, unstyled } from "./paint.ts";
import type { Size } from "./screen.ts";
import { compareKeys, fit, joined, type Piece } from "./text.ts";
import { base64Of, textOf } from "./values.ts";

/** What is watched. */
export interface Subject {
  /** The key, or the prefix where `range`. */
  readonly key: string;
  readonly range: boolean;
  /** Show all values in base64. */
  readonly base64: boolean;
  readonly endpoints: readonly string[];
}

/** A key, or one that was deleted a moment ago. */
interface Row {
  readonly key: string;
  readonly value: Cell;
  readonly deleted: boolean;
  /** 0 where the store was not said to have ever held the key. */
  readonly revision: number;
  /** When this client saw the change, or found the key at the start. */
  readonly seenAt: number;
  readonly found: boolean;
}

/** A value, or what is to be said about it. */
interface Cell {
  /** Words of ours, not of the store. */
  readonly note: string;
  readonly text: string;
}

/** A key of a range that was deleted is still shown for so long. */
const lingerMs = 5000;
/** A change is shown in bold for so long. */
const freshMs = 1500;
/** No more of a value is kept than the widest terminals show. */
const mostCharacters = 1024;

export class LiveTable {
  readonly #subject: Subject;
  readonly #paint: Paint;
  readonly #rows = new Map<string, Row>();
  /** The keys of `#rows`, in order. */
  #keys: string[] = [];
  #loaded = false;
  /** Of the newest batch. */
  #revision = 0;
  #status: Status | undefined;
  /** Columns only grow, so that the table stands still while values change; until the terminal's width does. */
  #widths = { terminal: 0, key: 0, shortKey: 0, value: 0, revision: 0, age: 0 };

  /** `now` of the methods is in milliseconds of any clock that never goes back. */
  constructor(subject: Subject, paint: Paint) {
    this.#subject = subject;
    this.#paint = paint;
  }

  set status(status: Status) {
    this.#status = status;
  }

  apply({ type, changes, revision: newest }: Batch<Uint8Array>, now: number): void {
    const found = type === "snapshot";
    this.#loaded = true;
    this.#revision = newest;
    let added = false;
    for (const change of changes) {
      const { key, revision } = change;
      added ||= !this.#rows.has(key);
      const deleted = change.type === "delete";
      const value = deleted
        ? gone(this.#subject.range)
        : this.#cell(change.type === "put" ? change.value : change.bytes);
      this.#rows.set(key, { key, value, deleted, revision, seenAt: now, found });
    }
    if (found && !this.#subject.range && changes.length === 0) {
      const { key } = this.#subject;
      this.#rows.set(key, { key, value: gone(false), deleted: true, revision: 0, seenAt: now, found });
      added = true;
    }
    if (added) this.#keys = [...this.#rows.keys()].sort(compareKeys);
  }

  /** The lines to show, none wider than `columns` and no more of them than `rows`. */
  frame({ columns, rows }: Size, now: number, date: Date = new Date()): readonly Piece[] {
    this.#forget(now);
    const status = this.#statusLine(columns, date);
    if (!this.#loaded) return [status].slice(0, rows);
    const space = rows - 2;
    const overflows = this.#keys.length > space;
    const shown = this.#keys
      .slice(0, Math.max(overflows ? space - 1 : space, 0))
      .map((key) => this.#rows.get(key) as Row);
    const lines = [status, ...this.#table(shown, columns, now)];
    const more = this.#keys.length - shown.length;
    if (more > 0) lines.push(this.#words(`… ${more} more`, columns));
    if (this.#keys.length === 0) lines.push(this.#words("(no keys)", columns));
    return lines.slice(0, rows);
  }

  /** Drops keys that were deleted a while ago. */
  #forget(now: number): void {
    if (!this.#subject.range) return;
    let dropped = false;
    for (const { key, deleted, seenAt } of this.#rows.values()) {
      if (deleted && now - seenAt >= lingerMs) dropped = this.#rows.delete(key);
    }
    if (dropped) this.#keys = this.#keys.filter((key) => this.#rows.has(key));
  }

  #statusLine(columns: number, date: Date): Piece {
    const { key, range, endpoints } = this.#subject;
    const { bold, green, yellow, red } = this.#paint;
    const status = this.#status;
    const what = range ? (key === "" ? "all keys" : `${key}*`) : key;
    const where = endpoints.join(", ");
    const present = [...this.#rows.values()].filter(({ deleted }) => !deleted).length;
    const count = !range || !this.#loaded ? "" : `  ${present} ${present === 1 ? "key" : "keys"}`;
    const seconds = status !== undefined && "since" in status ? age(date.getTime() - status.since.getTime()) : "";
    switch (status?.state) {
      case "live":
        return this.#line(
          columns,
          ["● live", (text) => green(bold(text))],
          [`  ${what}${count}  revision ${Math.max(status.revision, this.#revision)}  at ${where}`],
        );
      case "stale":
        return this.#line(
          columns,
          [`▲ stale for ${seconds}`, (text) => red(bold(text))],
          [`  ${explain(status.cause)}`],
        );
      case "connecting": {
        const why = status.cause === undefined ? where : explain(status.cause);
        return this.#line(columns, [`○ connecting for ${seconds}`, (text) => yellow(bold(text))], [`  ${why}`]);
      }
      case "closed":
      case undefined:
        return this.#line(columns, ["○ connecting", (text) => yellow(bold(text))], [`  ${where}`]);
      default:
        return status satisfies never;
    }
  }

  #table(rows: readonly Row[], columns: number, now: number): Piece[] {
    const { bold, dim, yellow } = this.#paint;
    const cells = rows.map((row) => ({
      row,
      fresh: !row.found && now - row.seenAt < freshMs,
      revision: row.revision === 0 ? "-" : String(row.revision),
      age: `${row.found ? ">" : ""}${age(now - row.seenAt)}`,
    }));
    const widths = this.#layOut(cells, columns);
    const [keyColumn, valueColumn] = [widths.key, widths.value];
    const line = (key: Piece, value: Piece, revision: string, aged: string, style: Style): Piece => {
      const right = [
        ...(widths.revision > 0 ? [revision.padStart(widths.revision)] : []),
        ...(widths.age > 0 ? [aged.padStart(widths.age)] : []),
      ].join(gap);
      // Columns are gone to by their number, whatever the terminal takes the width of what is before them to be.
      return joined([
        key,
        goTo(key.cells, keyColumn + gap.length),
        value,
        ...(right === "" ? [] : [goTo(keyColumn + gap.length + value.cells, keyColumn + valueColumn + 2 * gap.length)]),
        piece(right, style),
      ]);
    };
    const header = line(piece("KEY", dim), piece("VALUE", dim), "REVISION", "AGE", dim);
    const stale = this.#status?.state !== "live";
    return [
      header,
      ...cells.map(({ row, fresh, revision, age: aged }) => {
        const style = stale || row.deleted ? dim : fresh ? bold : unstyled;
        const key = styled(fit(widths.short ? this.#shorten(row.key) : row.key, keyColumn, yellow), style);
        return line(key, this.#fitCell(row.value, valueColumn, style), revision, aged, style);
      }),
    ].map((text) => (text.cells <= columns ? text : fit(text.plain, columns)));
  }

  /** How wide the columns are; 0 for those that have no place. */
  #layOut(
    cells: ReadonlyArray<{ readonly row: Row; readonly revision: string; readonly age: string }>,
    columns: number,
  ): { key: number; short: boolean; value: number; revision: number; age: number } {
    if (this.#widths.terminal !== columns)
      this.#widths = { terminal: columns, key: 3, shortKey: 3, value: 5, revision: 8, age: 4 };
    const widths = this.#widths;
    for (const { row, revision, age: aged } of cells) {
      widths.key = Math.max(widths.key, fit(row.key, columns).cells);
      widths.shortKey = Math.max(widths.shortKey, fit(this.#shorten(row.key), columns).cells);
      widths.value = Math.max(widths.value, fit(row.value.note + row.value.text, columns).cells);
      widths.revision = Math.max(widths.revision, revision.length);
      widths.age = Math.max(widths.age, aged.length);
    }
    const numbers = widths.revision + widths.age + 2 * gap.length;
    const both = columns - gap.length - numbers >= 24;
    const rest = Math.max(columns - gap.length - (both ? numbers : 0), 2);
    // Where there is not enough for both, the value is cut first, down to half; then keys lose what is common to all.
    const most = Math.max(rest - widths.value, Math.floor(rest / 2));
    const short = widths.key > most;
    const key = Math.min(short ? widths.shortKey : widths.key, most);
    const value = Math.min(widths.value, rest - key);
    return { key, short, value, revision: both ? widths.revision : 0, age: both ? widths.age : 0 };
  }

  /** The key without the prefix that is watched, which the status line tells. */
  #shorten(key: string): string {
    const { key: prefix, range } = this.#subject;
    return range && prefix !== "" && key !== prefix ? `…${key.slice(prefix.length)}` : key;
  }

  #cell(bytes: Uint8Array): Cell {
    const text = this.#subject.base64 ? undefined : textOf(bytes);
    if (text === "") return { note: "(empty)", text };
    if (text !== undefined) return { note: "", text: text.slice(0, mostCharacters) };
    const note = this.#subject.base64 ? "" : "(base64) ";
    return { note, text: base64Of(bytes.subarray(0, mostCharacters)) };
  }

  #fitCell({ note, text }: Cell, cells: number, style: Style): Piece {
    const { dim, yellow } = this.#paint;
    const mark = styled(fit(note, cells), dim);
    return joined([mark, styled(fit(text, cells - mark.cells, yellow), style)]);
  }

  #words(words: string, columns: number): Piece {
    return this.#line(columns, [words, this.#paint.dim]);
  }

  /** Texts, each in its style, as far as they fit. */
  #line(columns: number, ...texts: ReadonlyArray<readonly [text: string, style?: Style]>): Piece {
    const pieces: Piece[] = [];
    let left = columns;
    for (const [text, style = unstyled] of texts) {
      const fitted = styled(fit(text, left), style);
      pieces.push(fitted);
      left -= fitted.cells;
    }
    return joined(pieces);
  }
}

const gap = "  ";

function gone(range: boolean): Cell {
  return { note: range ? "(deleted)" : "(absent)", text: "" };
}

function piece(text: string, style: Style): Piece {
  return { styled: style(text), plain: text, cells: text.length };
}

function styled(text: Piece, style: Style): Piece {
  return { ...text, styled: style(text.styled) };
}

/** From cell `from` of a line to cell `to`, in spaces and, to be sure, as a command to the terminal. */
function goTo(from: number, to: number): Piece {
  const spaces = " ".repeat(Math.max(to - from, 0));
  return { styled: `${spaces}\x1b[${to + 1}G`, plain: spaces, cells: spaces.length };
}

/** A time span in at most six characters. */
function age(ms: number): string {
  const seconds = Math.max(Math.floor(ms / 1000), 0);
  const [minutes, hours, days] = [Math.floor(seconds / 60), Math.floor(seconds / 3600), Math.floor(seconds / 86_400)];
  const two = (n: number): string => String(n).padStart(2, "0");
  if (minutes === 0) return `${seconds}s`;
  if (hours === 0) return `${minutes}m${two(seconds % 60)}s`;
  if (days === 0) return `${hours}h${two(minutes % 60)}m`;
  return `${days}d${two(hours % 24)}h`;
}
