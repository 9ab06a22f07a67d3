/**
 * A few lines of a terminal that are drawn again and again in the same place, below what was there before.
 *
 * A frame is written at once, over the last one and without clearing it first, so nothing flickers. The cursor is
 * always at the beginning of the line below the frame, so that what comes after the program stands there. When the
 * terminal was made narrower, it has wrapped the lines of the last frame: they are found by their width.
 */
import type { WriteStream } from "node:tty";
import { type Piece, rowsOf } from "./text.ts";

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

const hideCursor = "\x1b[?25l";
const showCursor = "\x1b[?25h";
/** What comes in between is shown at once; terminals that do not know it ignore it. */
const [beginUpdate, endUpdate] = ["\x1b[?2026h", "\x1b[?2026l"];
/** Should a terminal think that a line is wider than we do, it is cut and not wrapped. */
const [noWrap, wrap] = ["\x1b[?7l", "\x1b[?7h"];
const eraseLine = "\x1b[K";
const eraseBelow = "\x1b[J";

export class Screen {
  readonly #terminal: WriteStream;
  /** The lines above the cursor that are ours. */
  #drawn: readonly Piece[] = [];
  #size: Size | undefined;

  constructor(terminal: WriteStream) {
    this.#terminal = terminal;
  }

  /** Space for a frame: its lines may be as wide as `columns`, which leaves out the last one, and as many as `rows`. */
  get space(): Size {
    const { columns, rows } = this.#currentSize();
    return { columns: Math.max(columns - 1, 1), rows: Math.max(rows - 1, 1) };
  }

  draw(lines: readonly Piece[]): void {
    const size = this.#currentSize();
    const resized = size.columns !== this.#size?.columns || size.rows !== this.#size.rows;
    if (!resized && sameLines(lines, this.#drawn)) return;
    const above = this.#drawn.reduce((sum, { plain }) => sum + rowsOf(plain, size.columns), 0);
    const up = above > 0 ? `\x1b[${above}A` : "";
    const text = lines.map(({ styled }) => `${styled}${eraseLine}\r\n`).join("");
    this.#terminal.write(`${beginUpdate}${hideCursor}${noWrap}\r${up}${text}${eraseBelow}${wrap}${endUpdate}`);
    this.#drawn = lines;
    this.#size = size;
  }

  /** Somebody else has used the terminal: the next frame begins where the cursor is. */
  forget(): void {
    this.#drawn = [];
    this.#size = undefined;
  }

  /** Leaves the last frame as it is. */
  close(): void {
    this.#terminal.write(showCursor);
  }

  #currentSize(): Size {
    const { columns, rows } = this.#terminal;
    // A terminal that does not know its size says 0.
    return { columns: columns || 80, rows: rows || 24 };
  }
}

function sameLines(a: readonly Piece[], b: readonly Piece[]): boolean {
  return a.length === b.length && a.every(({ styled }, i) => styled === b[i]?.styled);
}
