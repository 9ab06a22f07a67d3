import { accounts, total } from "../proof/writers.ts";
import { applied, Broken, type DeliveryGuarantee, difference, eraWhere } from "./guarantee.ts";

/** K4: a batch is a state that the store has been in, and no part of one. */
export const atomic: DeliveryGuarantee = {
  name: "atomic",
  promise: "K4 a batch brings the consumer exactly to the state at its revision; the first read is the only snapshot",
  check(view, { changes, batch }, history) {
    if (batch === undefined) return;
    const first = view.reads === 0;
    if (batch.type === "snapshot" && !first) throw new Broken(atomic, "a snapshot that is not the first read");
    if (batch.type === "update" && changes.length === 0) throw new Broken(atomic, "an update without changes");
    const replica = applied(view.replica, changes);
    const { start, end } = view;
    if (accounts.every((account) => account >= start && account < end)) {
      const sum = accounts.reduce((all, account) => all + Number(replica.get(account)?.value.split("/")[0] ?? 0), 0);
      // A store that was replaced has no accounts at first.
      if (sum !== total && accounts.some((account) => replica.has(account)))
        throw new Broken(atomic, `all accounts together hold ${sum} of ${total} at ${batch.revision}`);
    }
    const differences: string[] = [];
    const era = eraWhere(view, history, (at) => {
      const different = difference(replica, history.state(at, batch.revision, start, end));
      if (different !== undefined) differences.push(different);
      return different === undefined;
    });
    if (era === undefined) {
      throw new Broken(atomic, `a batch is not the state at ${batch.revision}: ${differences.join("; or: ")}`);
    }
  },
};
