/** What the system says of a process. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/**
 * The state of a process, or on Linux of a thread, as the system's letter for it: `T` is stopped, `Z` is ended but not
 * collected yet. Undefined where there is no such process any more.
 */
export function stateOf(id: number): string | undefined {
  try {
    if (process.platform !== "linux")
      return execFileSync("ps", ["-o", "stat=", "-p", `${id}`], { encoding: "utf8" })[0];
    return /.*\) (\w)/s.exec(readFileSync(`/proc/${id}/stat`, "utf8"))?.[1];
  } catch {
    return undefined;
  }
}

/** Whether all of a process is stopped: its threads are one after the other, and some may do a bit more. */
export function isStopped(pid: number): boolean {
  if (process.platform !== "linux") return stateOf(pid) === "T";
  try {
    return readdirSync(`/proc/${pid}/task`).every((thread) => stateOf(Number(thread)) === "T");
  } catch {
    return false; // It has ended.
  }
}
