import { Broken, type DeliveryGuarantee, describe } from "./guarantee.ts";

/** K3, K5: nothing is told twice. */
export const unique: DeliveryGuarantee = {
  name: "unique",
  promise: "K3 each key at most once per pass over the backlog; K5 unchanged keys not at all",
  check({ replica }, { changes }, history) {
    const keys = new Set<string>();
    for (const change of changes) {
      if (keys.has(change.key)) throw new Broken(unique, `${change.key} is twice in one batch`);
      keys.add(change.key);
      const known = replica.get(change.key);
      if (change.type !== "put" || known === undefined) continue;
      if (known.at === change.at && known.value === change.value && known.created === change.created) {
        // What was changed, and changed back by the restoration of a backup, may be told (K6: "A, B, A unread").
        if (history.changedBefore(change.key, change.at)) continue;
        throw new Broken(unique, `${describe(change)} is told again`);
      }
    }
  },
};
