/**
 * Tells one history of a store from another: a cluster that was replaced, or restored from a backup, counts its
 * revisions anew, and what was learned from the old one does not hold in it.
 */
import type { ResponseHeader } from "./proto/generated/etcd.ts";

export class History {
  #clusterId: string | undefined;
  #raftTerm = 0;
  #revision = 0;

  /** Whether the header of a linearizable read cannot come after what is known: the state up to `revision`, at least. */
  contradicts(header: ResponseHeader, revision: number): boolean {
    if (this.#clusterId !== undefined && header.clusterId !== this.#clusterId) return true;
    return header.raftTerm < this.#raftTerm || header.revision < Math.max(revision, this.#revision);
  }

  /** What is known from now on comes from the history of this header. */
  note(header: ResponseHeader): void {
    this.#clusterId = header.clusterId;
    this.#raftTerm = header.raftTerm;
    this.#revision = header.revision;
  }

  /** The history has reached this revision. */
  reached(revision: number): void {
    if (revision > this.#revision) this.#revision = revision;
  }
}
