import type { StoreHistory } from "../proof/history.ts";
import type { Wrote } from "../proof/recording.ts";
import { Broken, type Guarantee } from "./guarantee.ts";

/** K9: what the library says of a write is true. */
const once: Guarantee = {
  name: "once",
  promise: "K9 a write is never made twice; what resolves was made at that revision, what is in conflict was not made",
};

/** What a write's value ends with is its name. */
function isBy({ name }: Wrote, value: string | undefined): boolean {
  return value?.split("/")[0]?.split(",").at(-1) === name;
}

/**
 * @param eras the lives of the store in which the write may have been made
 * @throws Broken where the library's word for a write is not what the store's history says
 */
export function checkWrite(wrote: Wrote, history: StoreHistory, eras: readonly number[]): void {
  const { keys, name, outcome, revision } = wrote;
  const who = `write ${name} of keyspace ${wrote.keyspace}`;
  for (const key of keys) {
    const made = eras.map((era) => history.versionsOf(era, key).filter(({ held }) => isBy(wrote, held?.value)));
    for (const times of made) {
      if (times.length > 1)
        throw new Broken(
          once,
          `${who} was made ${times.length} times: ${key} at ${times.map(({ at }) => at).join(", ")}`,
        );
    }
    const at = made.flat().map((version) => version.at);
    if (outcome === "made" && !at.includes(revision as number))
      throw new Broken(once, `${who} is said to be made at ${revision}, and was at ${at.join(", ") || "none"}: ${key}`);
    if (outcome === "refused" && at.length > 0)
      throw new Broken(once, `${who} is said to be in conflict, and was made at ${at.join(", ")}: ${key}`);
  }
}
