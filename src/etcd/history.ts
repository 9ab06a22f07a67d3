/**
 * Tells one history of a store from another: a cluster that was replaced, or restored from a backup, counts its
 * revisions anew, and what was learned from the old one does not hold in it.
 *
 * Answers come in any order, and the watch may overtake a read. So an answer is held against what was known when it
 * was asked for, never against what is known when it comes:
 *
 *     read is asked        store at 10
 *     store answers: 10
 *                          a write makes it 11, the watch tells of it
 *     the answer comes     10 is less than 11, and no contradiction
 */
import type { ResponseHeader } from "./proto/generated/etcd.ts";

/** What was known of a history at some moment. A linearizable read that begins then cannot fall behind it. */
export interface Moment {
  /** How many histories there were before. */
  readonly era: number;
  readonly clusterId: string | undefined;
  readonly raftTerm: number;
  readonly revision: number;
}

/** Whether the header of a linearizable read that began at `since` cannot be of the same history. */
export function contradicts(header: ResponseHeader, since: Moment): boolean {
  return departs(header, since) || header.revision < since.revision;
}

/** The same for any header. Its revision says nothing: the member may lag, or the answer be of an old revision. */
export function departs(header: ResponseHeader, since: Pick<Moment, "clusterId" | "raftTerm">): boolean {
  return (since.clusterId !== undefined && header.clusterId !== since.clusterId) || header.raftTerm < since.raftTerm;
}

export class History {
  #now: Moment = { era: 0, clusterId: undefined, raftTerm: 0, revision: 0 };

  get now(): Moment {
    return this.#now;
  }

  /** A header of this history. */
  note({ clusterId, raftTerm, revision }: ResponseHeader): void {
    const { era } = this.#now;
    raftTerm = Math.max(raftTerm, this.#now.raftTerm);
    revision = Math.max(revision, this.#now.revision);
    this.#now = { era, clusterId, raftTerm, revision };
  }

  /** The history has reached this revision. */
  reached(revision: number): void {
    if (revision > this.#now.revision) this.#now = { ...this.#now, revision };
  }

  /** What is known from now on is of another history, which has come to this header. */
  restart({ clusterId, raftTerm, revision }: ResponseHeader): void {
    this.#now = { era: this.#now.era + 1, clusterId, raftTerm, revision };
  }
}
