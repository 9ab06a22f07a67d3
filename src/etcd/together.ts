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
 * everyone asks alone. The answers are kept to a few MB, by what those before had.
 */
import { macrotask } from "../internal/macrotask.ts";
import type { RangeRequest, RequestOp, ResponseHeader, TxnRequest } from "./proto/generated/etcd.ts";
import { splitReads } from "./proto/hot-decoders.ts";
import { txn } from "./proto/methods.ts";
import type { Method } from "./transport.ts";

/** What every answer to a read begins with. */
export interface Headed {
  header: ResponseHeader;
}

/** A read that was asked for. */
interface Asked {
  readonly method: Method<RangeRequest, Headed>;
  readonly request: RangeRequest;
  /** With undefined where it has to be made alone. */
  readonly answer: (response: Headed | undefined) => void;
}

/** The most operations that a server allows a transaction by default. */
const mostReads = 128;
/** Few, as a value may have megabytes. */
const firstReads = 16;
const mostBytes = 2 << 20;
/** One is under way while another is decoded. */
const mostUnderWay = 2;

/** Makes a transaction that changes nothing. */
export type SendReads = (
  method: Method<TxnRequest, readonly Headed[]>,
  request: TxnRequest,
) => Promise<readonly Headed[]>;

export class Together {
  readonly #send: SendReads;
  #asked: Asked[] = [];
  #scheduled = false;
  #underWay = 0;
  /** How many reads the next transaction may have. */
  #most = firstReads;

  constructor(send: SendReads) {
    this.#send = send;
  }

  /** Makes the read with others. Undefined where that cannot be: alone it may succeed, or tell why not. */
  read<Response extends Headed>(
    method: Method<RangeRequest, Response>,
    request: RangeRequest,
  ): Promise<Response | undefined> | undefined {
    if (!this.#scheduled) {
      this.#scheduled = true;
      macrotask(() => {
        this.#scheduled = false;
        this.#next();
      });
      return undefined;
    }
    return new Promise((resolve) => {
      this.#asked.push({ method, request, answer: resolve as Asked["answer"] });
    });
  }

  #next(): void {
    while (this.#asked.length > 0 && this.#underWay < mostUnderWay) {
      const group = this.#asked.splice(0, this.#most);
      if (group.length === 1) group[0]?.answer(undefined);
      else void this.#make(group);
    }
  }

  async #make(group: readonly Asked[]): Promise<void> {
    this.#underWay++;
    const method: Method<TxnRequest, readonly Headed[]> = {
      ...txn,
      write: false,
      decode: (bytes) => {
        this.#learn(bytes.length / group.length);
        const { header, reads } = splitReads(bytes);
        return group.map(({ method }, i) => Object.assign(method.decode(reads[i] as Uint8Array), { header }));
      },
    };
    const success = group.map(({ request }): RequestOp => ({ request: { $case: "requestRange", value: request } }));
    let answers: readonly Headed[] = [];
    try {
      answers = await this.#send(method, { compare: [], success, failure: [] });
    } catch {
      // Each is told why when it asks alone.
    }
    this.#underWay--;
    for (const [i, { answer }] of group.entries()) answer(answers[i]);
    this.#next();
  }

  /** So many bytes an answer had. Grows by eight at most, as the next may be bigger. */
  #learn(bytes: number): void {
    this.#most = Math.max(1, Math.min(this.#most * 8, mostReads, Math.floor(mostBytes / bytes)));
  }
}
