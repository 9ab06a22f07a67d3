import type { WriteStream } from "node:tty";
import { describe, expect, test } from "vitest";
import { Screen } from "../../src/cli/screen.ts";
import { fit, type Piece } from "../../src/cli/text.ts";
import { TerminalModel } from "./terminal-model.ts";

/** A screen on a terminal on which a shell has written before. */
function open(columns: number, rows: number): { screen: Screen; terminal: TerminalModel } {
  const terminal = new TerminalModel(columns, rows);
  terminal.write("$ before\r\n");
  return { screen: new Screen(terminal as unknown as WriteStream), terminal };
}

function lines(...texts: string[]): Piece[] {
  return texts.map((text) => fit(text, 1000));
}

describe("the screen", () => {
  test("draws each frame in the place of the last one, longer or shorter", () => {
    const { screen, terminal } = open(40, 10);
    screen.draw(lines("one", "two", "three"));
    expect(terminal.lines).toEqual(["$ before", "one", "two", "three"]);
    screen.draw(lines("1", "two"));
    expect(terminal.lines).toEqual(["$ before", "1", "two"]);
    screen.draw(lines("a", "b", "c", "d"));
    expect(terminal.lines).toEqual(["$ before", "a", "b", "c", "d"]);
    expect(terminal.cursor).toEqual({ row: 5, column: 0 });
  });

  test("hides the cursor while it draws and shows it below the last frame when closed", () => {
    const { screen, terminal } = open(40, 10);
    screen.draw(lines("one"));
    expect(terminal.cursorVisible).toBe(false);
    screen.close();
    expect(terminal.cursorVisible).toBe(true);
    terminal.write("$ after");
    expect(terminal.lines).toEqual(["$ before", "one", "$ after"]);
  });

  test("writes nothing where nothing has changed", () => {
    const { screen, terminal } = open(40, 10);
    for (let i = 0; i < 3; i++) screen.draw(lines("one", "two"));
    expect(terminal.updates).toBe(1);
  });

  test("scrolls what was there before, and then stands", () => {
    const { screen, terminal } = open(40, 4);
    const frame = lines("one", "two", "three");
    expect(screen.space).toEqual({ columns: 39, rows: 3 });
    screen.draw(frame);
    screen.draw(lines("1", "2", "3"));
    expect(terminal.lines).toEqual(["1", "2", "3"]);
    expect(terminal.history).toEqual(["$ before"]);
  });

  test("finds its place when the terminal has wrapped its lines", () => {
    const { screen, terminal } = open(40, 20);
    screen.draw(lines("x".repeat(39), "two", "値".repeat(19)));
    for (const columns of [20, 13, 11, 7, 40]) {
      terminal.resize(columns, 20);
      screen.draw(lines("x".repeat(columns - 1), "two", "値".repeat(Math.floor((columns - 1) / 2))));
      expect(terminal.lines).toEqual([
        ...(columns === 7 ? ["$ befor", "e"] : ["$ before"]),
        "x".repeat(columns - 1),
        "two",
        "値".repeat(Math.floor((columns - 1) / 2)),
      ]);
    }
  });

  test("fits into a terminal that has become lower", () => {
    const { screen, terminal } = open(40, 10);
    screen.draw(lines("1", "2", "3", "4", "5"));
    terminal.resize(40, 4);
    screen.draw(lines("1", "2", "3"));
    expect(terminal.lines).toEqual(["1", "2", "3"]);
  });

  test("begins anew where somebody else has written", () => {
    const { screen, terminal } = open(40, 10);
    screen.draw(lines("one"));
    terminal.write("$ other\r\n");
    screen.forget();
    screen.draw(lines("two"));
    expect(terminal.lines).toEqual(["$ before", "one", "$ other", "two"]);
  });

  test("takes a terminal without a size for one of 80 by 24", () => {
    expect(open(0, 0).screen.space).toEqual({ columns: 79, rows: 23 });
  });

  test("is not broken by a line that a terminal takes for wider than it is", () => {
    const { screen, terminal } = open(10, 10);
    screen.draw([{ styled: "0123456789012345", plain: "012345678", cells: 9 }, ...lines("two")]);
    screen.draw(lines("one", "two"));
    expect(terminal.lines).toEqual(["$ before", "one", "two"]);
  });
});
