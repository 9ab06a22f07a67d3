/** Keys as they are pressed, on a terminal that neither echoes them nor acts on them. */
import { StringDecoder } from "node:string_decoder";
import type { Program } from "./program.ts";

/**
 * Hands `pressed` what is typed, but for Ctrl-C, which interrupts the program. Ends when what is returned is called,
 * or with the program: the terminal is then as it was.
 */
export function listen(program: Program, pressed: (character: string) => void): () => void {
  const { stdin } = program;
  const decoder = new StringDecoder("utf8");
  const read = (bytes: Buffer): void => {
    for (const character of decoder.write(bytes)) {
      if (character === "\x03") program.interrupt("SIGINT");
      pressed(character);
    }
  };
  const raw = (): void => void stdin.setRawMode(true);
  raw();
  stdin.on("data", read);
  // Whoever stopped the program had the terminal in between.
  process.on("SIGCONT", raw);
  return program.atEnd(() => {
    process.off("SIGCONT", raw);
    stdin.off("data", read).pause();
    stdin.setRawMode(false);
  });
}

/**
 * Ctrl-Z: stops the program, and whoever is in the foreground with it, such as npx. Calls `resumed` when it goes on;
 * `listen` is in force again then. That may be at once: what no shell can continue cannot be stopped.
 */
export function suspend(program: Program, resumed: () => void): void {
  program.stdin.setRawMode(false);
  // Timers stand still as well.
  setTimeout(() => {
    program.stdin.setRawMode(true);
    setImmediate(resumed); // after a change of the terminal's size was told
  }, 100);
  process.kill(0, "SIGTSTP");
}
