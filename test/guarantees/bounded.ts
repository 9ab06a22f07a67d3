import { Broken, type Guarantee } from "./guarantee.ts";

/** K10: what is held follows the keys there are, not what happened to them. */
const bounded: Guarantee = {
  name: "bounded",
  promise:
    "K10 memory follows the number of live keys, not of writes or watchers; watchers share one server-side watch",
};

/** How much a process may hold more in the end than when it had warmed up. What it held of garbage is not counted. */
export const mostGrowth: number = 24 << 20;

/** @param bytes what the process held, measured again and again @throws Broken where it grew */
export function checkGrowth(bytes: readonly number[]): void {
  if (bytes.length < 2) throw new Error("memory was not measured");
  // What is under way at a measurement differs; what is kept shows in the least of several.
  const third = Math.ceil(bytes.length / 3);
  const before = Math.max(...bytes.slice(0, third));
  const after = Math.min(...bytes.slice(-third));
  if (after - before > mostGrowth) throw new Broken(bounded, `memory grew from ${before} to ${after} bytes`);
}

/** What servers have, or should. */
export interface Watches {
  readonly watches: number;
  readonly streams: number;
}

/**
 * @param strays how many watches of others the servers may still have, each on a stream of its own
 * @throws Broken where the servers have other watches or streams than those that are needed
 */
export function checkWatches(found: Watches, needed: Watches, strays: number = 0): void {
  const more = found.streams - needed.streams;
  // A stream of a keyspace has many watches on it, and one watch too many would be on no stream of its own.
  if (found.watches - needed.watches === more && more >= 0 && more <= strays) return;
  const text = ({ watches, streams }: Watches): string => `${watches} watches on ${streams} streams`;
  throw new Broken(bounded, `the servers have ${text(found)} where ${text(needed)} are needed`);
}
