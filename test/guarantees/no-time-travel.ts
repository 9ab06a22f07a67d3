import { Broken, type DeliveryGuarantee, describe } from "./guarantee.ts";

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
 * The same for values without revisions, each of which is one that the key held after the one that was told before: of
 * one that has no such place in what the store's history is in the end.
 */
export function travelled(key: string, value: string | null): Broken {
  return new Broken(
    noTimeTravel,
    `${key} is told to be ${value ?? "absent"}, which it never was after what was told before`,
  );
}
