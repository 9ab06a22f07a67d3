/**
 * Reads of single keys that are asked for in the same turn of the event loop, made by one transaction. The first of a
 * turn does not wait for others: it is made alone.
 *
 * Who watches ten thousand keys, each by itself, reads as many to begin with, and again when a connection was lost.
 * A call costs this side and the server 200 us, an operation of a transaction 15: all of them were watched in half the
 * time (bench/etcd/many-keys.ts). A transaction that only reads is as linearizable as a read; its answers are of one
 * revision, which promises nobody anything.
 *
 * A transaction is refused as a whole: for one key that the user may not read, or one revision that is compacted. Then
 * everyone asks alone. The answers are kept to a few MB, by what those before had. Lost connections are another matter:
 * reads that nobody has aborted wait together until somebody answers.
 */
import { AbortEntry } from "../internal/abort.ts";
import { macrotask } from "../internal/macrotask.ts";
import type { RangeRequest, RequestOp, ResponseHeader, TxnRequest } from "./proto/generated/etcd.ts";
import { splitReads } from "./proto/hot-decoders.ts";
import { txn } from "./proto/methods.ts";
import type { Method } from "./transport.ts";

/** What every answer to a read begins with. */
export interface Headed {
  header: ResponseHeader;
}

/** How reads get to a store. */
export interface Sender {
  /** Whether it is safe to have the store make transactions of reads. */
  mayShare(signal: AbortSignal): Promise<boolean>;
  /** Makes a transaction that changes nothing. */
  send(
    method: Method<TxnRequest, readonly Headed[]>,
    request: TxnRequest,
    signal: AbortSignal,
  ): Promise<readonly Headed[]>;
}

/** The most operations that a server allows a transaction by default. */
const mostReads = 128;
/** Few, as a value may have megabytes. */
const firstReads = 16;
const mostBytes = 2 << 20;
/** One is under way while another is decoded. */
const mostUnderWay = 2;

/** Whether an etcd of this version may be sent transactions of reads: see `Client`. */
export function sharesReads(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = (/^\d+\.\d+\.\d+/.exec(version)?.[0] ?? "").split(".").map(Number);
  if (major !== 3) return major > 3;
  return minor > 5 || (minor === 5 && patch >= 7) || (minor === 4 && patch >= 23);
}

/** A read that was asked for: waits for its signal, too. */
class Asked extends AbortEntry {
  readonly method: Method<RangeRequest, Headed>;
  readonly request: RangeRequest;
  /** With undefined where it has to be made alone. */
  readonly answer: (response: Headed | undefined) => void;

  constructor(
    method: Method<RangeRequest, Headed>,
    request: RangeRequest,
    answer: (response: Headed | undefined) => void,
    aborted: (reason: unknown) => void,
  ) {
    super(aborted);
    this.method = method;
    this.request = request;
    this.answer = answer;
  }
}

/** Some reads that are made by one transaction. */
interface Group {
  /** Those that nobody has aborted. */
  readonly wanted: Set<Asked>;
  readonly stop: AbortController;
}

export class Together {
  readonly #sender: Sender;
  /** Those that are in no group yet, in the order in which they came. */
  readonly #queue = new Set<Asked>();
  readonly #groups = new Set<Group>();
  #scheduled = false;
  /** How many reads the next transaction may have. */
  #most = firstReads;

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  /**
   * Makes the read with others. Undefined where that cannot be: alone it may succeed, or tell why not. Rejects with
   * `signal.reason` on abort.
   */
  read<Response extends Headed>(
    method: Method<RangeRequest, Response>,
    request: RangeRequest,
    signal: AbortSignal | undefined,
  ): Promise<Response | undefined> | undefined {
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    if (!this.#scheduled) {
      this.#scheduled = true;
      macrotask(() => {
        this.#scheduled = false;
        this.#next();
      });
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const asked = new Asked(method, request, resolve as Asked["answer"], (reason) => {
        this.#forget(asked);
        reject(reason);
      });
      this.#queue.add(asked);
      if (signal !== undefined) asked.await(signal);
    });
  }

  #forget(asked: Asked): void {
    this.#queue.delete(asked);
    for (const { wanted, stop } of this.#groups) {
      // What nobody waits for is broken off.
      if (wanted.delete(asked) && wanted.size === 0) stop.abort();
    }
  }

  #next(): void {
    while (this.#queue.size > 0 && this.#groups.size < mostUnderWay) {
      const reads: Asked[] = [];
      for (const asked of this.#queue) {
        if (reads.push(asked) === this.#most) break;
      }
      for (const asked of reads) this.#queue.delete(asked);
      void this.#make(reads);
    }
  }

  async #make(reads: readonly Asked[]): Promise<void> {
    const group: Group = { wanted: new Set(reads), stop: new AbortController() };
    this.#groups.add(group);
    let answers: readonly Headed[] = [];
    const { signal } = group.stop;
    try {
      if (reads.length > 1 && (await this.#sender.mayShare(signal))) answers = await this.#transaction(reads, signal);
    } catch {
      // Each is told why when it asks alone. The store may allow fewer in a transaction, or it was the link.
      if (!signal.aborted) this.#most = Math.max(2, reads.length >> 2);
    }
    this.#groups.delete(group);
    for (const [i, asked] of reads.entries()) {
      asked.unlink();
      asked.answer(answers[i]);
    }
    this.#next();
  }

  #transaction(reads: readonly Asked[], signal: AbortSignal): Promise<readonly Headed[]> {
    const method: Method<TxnRequest, readonly Headed[]> = {
      ...txn,
      write: false,
      decode: (bytes) => {
        this.#learn(bytes.length / reads.length);
        const { header, reads: answers } = splitReads(bytes);
        return reads.map(({ method }, i) => Object.assign(method.decode(answers[i] as Uint8Array), { header }));
      },
    };
    const success = reads.map(({ request }): RequestOp => ({ request: { $case: "requestRange", value: request } }));
    return this.#sender.send(method, { compare: [], success, failure: [] }, signal);
  }

  /** So many bytes an answer had. Grows by eight at most, as the next may be bigger; two may share at any time. */
  #learn(bytes: number): void {
    this.#most = Math.max(2, Math.min(this.#most * 8, mostReads, Math.floor(mostBytes / bytes)));
  }
}
