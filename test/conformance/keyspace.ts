/**
 * What every keyspace promises (K1 to K12, less what needs a network), as one suite for all backends.
 *
 * A backend is given as a function that opens a keyspace which holds nothing. Each file beside this one that begins
 * with `keyspace-` holds it to one kind of promise; where a promise has a letter and a number, its tests begin with it.
 * The suite waits for conditions, never for time: that nothing happens is seen by what happens next.
 */
import { describe } from "vitest";
import { describeArguments } from "./keyspace-arguments.ts";
import type { Backend } from "./keyspace-backend.ts";
import { describeClosing } from "./keyspace-closing.ts";
import { describeElections } from "./keyspace-elections.ts";
import { describeKeys } from "./keyspace-keys.ts";
import { describeLeases } from "./keyspace-leases.ts";
import { describeLive } from "./keyspace-live.ts";
import { describeNamespaces } from "./keyspace-namespaces.ts";
import { describeRanges } from "./keyspace-ranges.ts";
import { describeTransactions } from "./keyspace-transactions.ts";
import { describeWatchables } from "./keyspace-watchables.ts";
import { describeWrites } from "./keyspace-writes.ts";

/** Holds a kind of keyspace to what all promise. */
export function describeKeyspace(backend: Backend): void {
  // oxlint-disable-next-line vitest/valid-title -- it is a parameter here
  describe(backend.name, () => {
    describeKeys(backend);
    describeRanges(backend);
    describeWrites(backend);
    describeTransactions(backend);
    describeLive(backend);
    describeLeases(backend);
    describeElections(backend);
    describeNamespaces(backend);
    describeClosing(backend);
    describeArguments(backend);
  });
  describeWatchables(backend);
}
