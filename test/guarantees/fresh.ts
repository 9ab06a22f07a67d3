import { Broken, type DeliveryGuarantee, type Guarantee } from "./guarantee.ts";

/** K10: who joins is told of everything that had been acknowledged to anybody when it asked. */
export const fresh: DeliveryGuarantee = {
  name: "fresh",
  promise: "K10 a watcher's first get is at least as fresh as a linearizable read begun at that call",
  check(_view, { asked, batch }, history) {
    if (batch?.type !== "snapshot") return;
    const acknowledged = history.acknowledgedBefore(asked);
    if (batch.revision < acknowledged) {
      throw new Broken(fresh, `a first get is of revision ${batch.revision}, and was begun after ${acknowledged}`);
    }
  },
};

/** K9: who cannot reach the store says so in time. */
const honest: Guarantee = {
  name: "fresh",
  promise: "K9 status says stale within staleAfterMs",
};

/** @throws Broken where the status of a keyspace without contact since `since` became stale later than it may, or has not */
export function checkStale(since: number, stale: number | undefined, staleAfterMs: number): void {
  if (stale !== undefined && stale - since <= staleAfterMs) return;
  const when = stale === undefined ? "not at all" : `only after ${Math.round(stale - since)} ms`;
  throw new Broken(honest, `a keyspace that was cut off said so ${when}`);
}
