/**
 * A terminal as far as the command line uses one: what is written to it, as a screen of cells. Anything else that a
 * terminal would obey is an error, so that a test fails where a stored value gets through.
 *
 * Made narrower or wider it wraps its lines anew, as most terminals do.
 */

interface Row {
  /** A character, with the marks on it; empty for the second cell of a wide one. */
  cells: string[];
  /** Whether it goes on in the next row. */
  wrapped: boolean;
}

const wide = /^(?:[\u1100-\u115f\u3041-\u33ff\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff60]|\p{Emoji_Presentation})/u;
const mark = /^(?:\p{M}|\u200d)$/u;

export class TerminalModel {
  columns: number;
  rows: number;
  cursorVisible = true;
  /** Whether any colour or other style was asked for. */
  styled = false;
  /** How many frames were drawn. */
  updates = 0;
  #screen: Row[] = [emptyRow()];
  #history: Row[] = [];
  #row = 0;
  #column = 0;
  #wraps = true;
  #rest = "";

  constructor(columns: number, rows: number) {
    this.columns = columns;
    this.rows = rows;
  }

  /** The rows of the screen, without what is empty at their ends and below. */
  get lines(): string[] {
    const lines = this.#screen.map(textOf);
    while (lines.length > 0 && lines.at(-1) === "") lines.pop();
    return lines;
  }

  get text(): string {
    return this.lines.join("\n");
  }

  /** What has left the screen at its top. */
  get history(): string[] {
    return this.#history.map(textOf);
  }

  get cursor(): { readonly row: number; readonly column: number } {
    return { row: this.#row, column: this.#column };
  }

  write(text: string): void {
    text = this.#rest + text;
    this.#rest = "";
    // A sequence that is not complete yet.
    const start = text.lastIndexOf("\x1b");
    if (start >= 0 && /^\x1b(?:\[[?\d;]*)?$/.test(text.slice(start))) {
      this.#rest = text.slice(start);
      text = text.slice(0, start);
    }
    for (const [part] of text.matchAll(/\x1b\[[?\d;]*[A-Za-z]|[^]/gu)) {
      if (part.startsWith("\x1b")) this.#command(part);
      else if (part === "\r") this.#column = 0;
      else if (part === "\n") this.#lineFeed(false);
      else if (/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(part))
        throw new Error(`a terminal would obey ${JSON.stringify(part)}`);
      else this.#put(part);
    }
  }

  resize(columns: number, rows: number): void {
    const logical: string[][] = [];
    let cursorLine = 0;
    let cursorOffset = 0;
    let open = false;
    for (const [i, { cells, wrapped }] of this.#screen.entries()) {
      if (!open) logical.push([]);
      const line = logical.at(-1) as string[];
      if (i === this.#row) {
        cursorLine = logical.length - 1;
        cursorOffset = line.length + this.#column;
      }
      line.push(...cells);
      open = wrapped;
    }
    this.columns = columns;
    this.rows = rows;
    this.#screen = [];
    for (const [i, line] of logical.entries()) {
      const first = this.#screen.length;
      const wrapped = wrap(line, columns);
      this.#screen.push(...wrapped);
      if (i === cursorLine) {
        this.#row = first + Math.min(Math.floor(cursorOffset / columns), wrapped.length - 1);
        this.#column = cursorOffset % columns;
      }
    }
    while (this.#row >= rows) this.#scroll();
    this.#screen.length = Math.min(this.#screen.length, rows);
  }

  #command(command: string): void {
    const [, mode = "", digits = "", name = ""] = /^\x1b\[(\??)([\d;]*)([A-Za-z])$/.exec(command) ?? [];
    const n = Number(digits || 1);
    if (name === "m" && mode === "") {
      this.styled = true;
      return;
    }
    switch (`${mode}${name === "h" || name === "l" ? digits : ""}${name}`) {
      case "?25h":
      case "?25l":
        this.cursorVisible = name === "h";
        return;
      case "?7h":
      case "?7l":
        this.#wraps = name === "h";
        return;
      case "?2026h":
        return;
      case "?2026l":
        this.updates++;
        return;
      case "A":
        this.#row = Math.max(this.#row - n, 0);
        return;
      case "G":
        this.#column = Math.min(n, this.columns) - 1;
        return;
      case "K":
        if (digits !== "") break;
        this.#current.cells.length = Math.min(this.#current.cells.length, this.#column);
        this.#current.wrapped = false;
        return;
      case "J":
        if (digits !== "") break;
        this.#screen.length = this.#row + 1;
        this.#current.cells.length = Math.min(this.#current.cells.length, this.#column);
        return;
    }
    throw new Error(`a terminal would obey ${JSON.stringify(command)}`);
  }

  get #current(): Row {
    return this.#screen[this.#row] as Row;
  }

  #put(character: string): void {
    const { cells } = this.#current;
    if (mark.test(character) && this.#column > 0) {
      const at = cells[this.#column - 1] === "" ? this.#column - 2 : this.#column - 1;
      cells[at] = `${cells[at] ?? " "}${character}`;
      return;
    }
    const width = wide.test(character) ? 2 : 1;
    if (this.#column + width > this.columns) {
      if (this.#wraps) {
        this.#current.wrapped = true;
        this.#lineFeed(true);
      } else this.#column = this.columns - width;
    }
    const row = this.#current.cells;
    while (row.length < this.#column) row.push(" ");
    row.splice(this.#column, width, character, ...(width === 2 ? [""] : []));
    this.#column += width;
  }

  #lineFeed(toStart: boolean): void {
    if (toStart) this.#column = 0;
    if (this.#row === this.rows - 1) this.#scroll();
    this.#row++;
    while (this.#screen.length <= this.#row) this.#screen.push(emptyRow());
  }

  #scroll(): void {
    this.#history.push(this.#screen.shift() as Row);
    this.#row--;
  }
}

function emptyRow(): Row {
  return { cells: [], wrapped: false };
}

function textOf({ cells }: Row): string {
  return cells.join("").trimEnd();
}

function wrap(cells: readonly string[], columns: number): Row[] {
  const rows: Row[] = [emptyRow()];
  for (let i = 0; i < cells.length;) {
    const width = cells[i + 1] === "" ? 2 : 1;
    let row = rows.at(-1) as Row;
    if (row.cells.length + width > columns) {
      row.wrapped = true;
      rows.push((row = emptyRow()));
    }
    row.cells.push(...cells.slice(i, i + width));
    i += width;
  }
  return rows;
}
