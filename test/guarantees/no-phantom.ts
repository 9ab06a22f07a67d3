import { Broken, type DeliveryGuarantee, describe, eraWhere } from "./guarantee.ts";

/** K5: nothing is told that the store did not do. */
export const noPhantom: DeliveryGuarantee = {
  name: "no phantom",
  promise: "K5 no phantom: what is delivered was written; a delete goes only to a watcher that was handed the key",
  check(view, { changes }, history) {
    for (const change of changes) {
      const { key, at } = change;
      if (key < view.start || key >= view.end) throw new Broken(noPhantom, `${describe(change)} is not of the range`);
      if (change.type === "delete") {
        if (!view.replica.has(key))
          throw new Broken(noPhantom, `${describe(change)}, of which nothing was told before`);
        if (eraWhere(view, history, (era) => history.held(era, key, at) === undefined) === undefined) {
          throw new Broken(noPhantom, `${describe(change)}, where the store holds it`);
        }
      } else {
        const written = (era: number): boolean => {
          const held = history.written(era, key, at);
          return held?.value === change.value && held.created === change.created;
        };
        if (eraWhere(view, history, written) === undefined) {
          throw new Broken(noPhantom, `${describe(change)}, which nobody wrote`);
        }
      }
    }
  },
};
