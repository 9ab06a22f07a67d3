import { Broken, type DeliveryGuarantee, describe } from "./guarantee.ts";

/** K3: what a watcher is delivered goes forward in revisions. */
export const ordered: DeliveryGuarantee = {
  name: "ordered",
  promise: "K3 the changes a watcher delivers have non-decreasing revisions, but for one step down per rewind",
  check(view, { changes, batch }, history) {
    let { revision, stepsDown } = view;
    const step = (to: number, what: string): void => {
      if (to < revision && ++stepsDown > history.eras - 1) {
        throw new Broken(ordered, `${what} comes after revision ${revision}`);
      }
      revision = to;
    };
    for (const change of changes) step(change.at, describe(change));
    if (batch === undefined) return;
    for (const change of changes) {
      if (change.at > batch.revision)
        throw new Broken(ordered, `${describe(change)} is in a batch of ${batch.revision}`);
    }
    step(batch.revision, `a batch of revision ${batch.revision}`);
  },
};
