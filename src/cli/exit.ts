/** How the program ends: exit codes, and errors that know theirs. */

/** The exit codes, as `--help` lists them. An interrupted program ends with 128 and the number of the signal. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  absent: 3,
  unavailable: 4,
  lost: 5,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Ends the program with a line on stderr, which is the message, and an exit code. */
export class Failure extends Error {
  override readonly name: string = "Failure";
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** The command line is wrong. The message names the argument. */
export class UsageError extends Failure {
  override readonly name: string = "UsageError";

  constructor(message: string, options?: ErrorOptions) {
    super(exitCodes.usage, `${message} (see event-value --help)`, options);
  }
}

/** Whoever read stdout has gone, such as `head -1` after the first line. That is not an error. */
export class ReaderGone extends Error {
  override readonly name: string = "ReaderGone";
}
