/** From the command line to the command that carries it out. */
import { readFileSync } from "node:fs";
import { type Invocation, parseCommandLine } from "./args.ts";
import { remove } from "./commands/delete.ts";
import { get } from "./commands/get.ts";
import { lease } from "./commands/lease.ts";
import { runWhen } from "./commands/run.ts";
import { set } from "./commands/set.ts";
import { watch } from "./commands/watch.ts";
import { exitCodes } from "./exit.ts";
import { helpOf } from "./help.ts";
import type { Program } from "./program.ts";

/** Does what the arguments ask for; resolves with the exit code. */
export async function run(program: Program, args: readonly string[]): Promise<number> {
  try {
    return (await carryOut(program, parseCommandLine(args, program.env))) ?? exitCodes.ok;
  } catch (error) {
    return program.fail(error);
  }
}

function carryOut(program: Program, invocation: Invocation): Promise<number | void> {
  switch (invocation.command) {
    case "help":
      return program.print(helpOf(invocation.topic));
    case "version":
      return program.print(`${version()}\n`);
    case "watch":
      return watch(program, invocation);
    case "get":
      return get(program, invocation);
    case "set":
      return set(program, invocation);
    case "delete":
      return remove(program, invocation);
    case "run":
      return runWhen(program, invocation);
    case "lease":
      return lease(program, invocation);
    default:
      return invocation satisfies never;
  }
}

function version(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
