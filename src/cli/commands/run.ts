/** `event-value run`: starts, restarts and stops a command as a value changes. */
import { runLatest } from "../../operators/run-latest.ts";
import type { RunCommand } from "../args.ts";
import { runChild } from "../child.ts";
import type { Program } from "../program.ts";
import { followStatus, statusNotes } from "../status-notes.ts";
import { openStore } from "../store.ts";
import { toJson } from "../text.ts";
import { textOf } from "../values.ts";

/** What to do about a value: run the command with the text, or not, and why. */
type Verdict = { readonly text: string } | { readonly text?: undefined; readonly why: string };

/** Ends only by an error, or with the program. */
export async function runWhen(
  program: Program,
  { store, key, equals, graceMs, commandLine }: RunCommand,
): Promise<void> {
  const keyspace = await openStore(program, store);
  const name = toJson(key);
  const verdicts = keyspace.value<Verdict>(key, (bytes) => judge(bytes, equals), { default: { why: "is absent" } });
  // What is permanent, the value tells as well.
  followStatus(keyspace, statusNotes(program)).catch(() => {});
  await program.untilInterrupted((interrupted) =>
    runLatest(
      verdicts,
      async (verdict, { signal }) => {
        if (verdict.text === undefined) return program.note(`waiting: ${name} ${verdict.why}`);
        const env = { EVENT_VALUE: verdict.text, EVENT_VALUE_KEY: key };
        const code = await runChild(program, commandLine, { env, signal, graceMs });
        if (!signal.aborted)
          program.note(`${toJson(commandLine[0])} has ended with code ${code}: waiting for ${name} to change`);
      },
      { select: ({ text }) => text, signal: interrupted },
    ),
  );
}

function judge(bytes: Uint8Array, equals: string | undefined): Verdict {
  const text = textOf(bytes);
  if (equals !== undefined) return text === equals ? { text } : { why: `is not ${toJson(equals)}` };
  if (text === undefined) return { why: "is not UTF-8 text" };
  return text.includes("\0") ? { why: "has a null character in it, which no environment can hold" } : { text };
}
