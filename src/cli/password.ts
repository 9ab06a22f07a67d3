/** Passwords: from the environment or from the terminal, never from the command line, which others can read. */
import { UsageError } from "./exit.ts";
import { listen } from "./keyboard.ts";
import type { Program } from "./program.ts";

/** The password of `user`. @throws {@link UsageError} where there is none, and no terminal to ask for one */
export async function readPassword(program: Program, user: string): Promise<string> {
  const given = program.env["EVENT_VALUE_PASSWORD"];
  if (given !== undefined && given !== "") return given;
  if (!program.stdin.isTTY)
    throw new UsageError("--user needs a password: set EVENT_VALUE_PASSWORD, stdin is not a terminal to ask on");
  return prompt(program, `Password for ${user}: `);
}

async function prompt(program: Program, question: string): Promise<string> {
  let entered: string[] = [];
  let stop = (): void => {};
  const endLine = program.atEnd(() => program.ask("\n"));
  try {
    return await new Promise<string>((resolve, reject) => {
      // Without echo first: what is typed as soon as the question shows must not be seen.
      stop = listen(program, (character) => {
        if (character === "\r" || character === "\n") resolve(entered.join(""));
        else if (character === "\x04") reject(new UsageError("--user needs a password, and none was entered"));
        else if (character === "\x7f" || character === "\b") entered.pop();
        else if (character === "\x15") entered = [];
        else if (character >= " ") entered.push(character);
      });
      program.ask(question);
    });
  } finally {
    stop();
    endLine();
  }
}
