import type { StoreHistory, Place } from "../proof/history.ts";
import { Broken, type DeliveryGuarantee, describe, type Guarantee } from "./guarantee.ts";

/** C1, K3: nobody is told of what was before what it knows. */
export const noTimeTravel: DeliveryGuarantee = {
  name: "no time travel",
  promise: "K3 a watcher never travels back in time, whichever member answers",
  check({ replica }, { changes }, history) {
    // A store that was restored has gone back itself; then it is for the order of revisions to say.
    if (history.eras > 1) return;
    for (const change of changes) {
      const known = replica.get(change.key);
      if (known !== undefined && change.at < known.at) {
        throw new Broken(noTimeTravel, `${describe(change)}, where ${change.key} was known to be at ${known.at}`);
      }
    }
  },
};

/**
 * The same for values without revisions: each is one that the key held after the one that was told before.
 *
 * @returns where in the key's history the value is, or undefined where it is not known yet
 */
export function placeAfter(
  history: StoreHistory,
  key: string,
  value: string | null,
  place: Place | undefined,
): Place | undefined {
  return history.next(key, value, place);
}

/** Of a value that has no place in what the store's history is in the end. */
export function travelled(key: string, value: string | null): Broken {
  const guarantee: Guarantee = noTimeTravel;
  return new Broken(
    guarantee,
    `${key} is told to be ${value ?? "absent"}, which it never was after what was told before`,
  );
}
