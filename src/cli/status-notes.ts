/** How it stands with the store, in lines on stderr. */
import type { Keyspace, Status } from "../keyspace.ts";
import { explain } from "./explain.ts";
import type { Program } from "./program.ts";

/**
 * Notes each change of the status once, and each cause why there is no connection. Not at once: what passes by itself
 * is not worth a line, and what is going to end the program has a line of its own.
 */
export function statusNotes(program: Program): (status: Status) => void {
  /** What was noted since the last change of the state. */
  const noted = new Set<string>();
  let newest: Status;
  let state: Status["state"] = "connecting";
  let timer: NodeJS.Timeout | undefined;
  const note = (): void => {
    timer = undefined;
    if (newest.state !== state) noted.clear();
    state = newest.state;
    const cause = "cause" in newest && newest.cause !== undefined ? `: ${explain(newest.cause)}` : "";
    const line = `${state}${cause}`;
    if (line === "connecting" || noted.has(line)) return;
    noted.add(line);
    program.note(line);
  };
  return (status) => {
    newest = status;
    timer ??= setTimeout(note, settleMs);
  };
}

const settleMs = 200;

/** Tells of each status. Ends only by an error. */
export async function followStatus(keyspace: Keyspace, tell: (status: Status) => void): Promise<never> {
  for await (const status of keyspace.status.watch()) tell(status);
  throw new Error("the keyspace was closed");
}
