/** A store whose answers and events a test gives, one by one, with the feed of a range on it. */
import { setImmediate as macrotask } from "node:timers/promises";
import { expect, vi } from "vitest";
import type { RangeRequest, ResponseHeader } from "../../../src/etcd/proto/generated/etcd.ts";
import type { RangeResult, WatchEvent } from "../../../src/etcd/proto/hot-decoders.ts";
import { KeyNames } from "../../../src/etcd/namespace.ts";
import { type FeedContext, RangeFeed } from "../../../src/etcd/range-feed.ts";
import { type Method, TransportError } from "../../../src/etcd/transport.ts";
import type { WatchHandlers } from "../../../src/etcd/watch-stream.ts";
import { text } from "../../../src/index.ts";
import type { RangeWatcher } from "../../../src/keyspace.ts";
import { watchRange } from "../../../src/range/watchers.ts";
import { received } from "../../support/received.ts";

const encoder = new TextEncoder();

/** A header of the store that a test begins with, but for what is given. */
export function headerOf(header: Partial<ResponseHeader>): ResponseHeader {
  return { clusterId: "1", memberId: "1", raftTerm: 2, revision: 0, ...header };
}

/** What a range read says: keys with their revisions, and how many there are where it is not those. */
export function answerOf(
  header: Partial<ResponseHeader>,
  keys: Readonly<Record<string, number>>,
  count: number = Object.keys(keys).length,
): RangeResult {
  const kvs = Object.entries(keys).map(([key, modRevision]) => ({
    key,
    rawKey: undefined,
    value: encoder.encode(`${key} at ${modRevision}`),
    createRevision: modRevision,
    modRevision,
    version: 1,
    lease: "0",
  }));
  return { header: headerOf(header), kvs, more: false, count };
}

/** An event of a watch. */
export function eventOf(type: WatchEvent["type"], key: string, modRevision: number): WatchEvent {
  const value = encoder.encode(type === "put" ? `${key} at ${modRevision}` : "");
  return { type, key, rawKey: undefined, value, createRevision: modRevision, modRevision, version: 1, lease: "0" };
}

/** The store's refusal of a revision. */
export function refusalOf(why: "compacted" | "future"): TransportError {
  const details =
    why === "compacted" ? "required revision has been compacted" : "required revision is a future revision";
  return new TransportError("model", 11, `etcdserver: mvcc: ${details}`, true);
}

/** A watch that the feed has asked for. */
export interface AskedWatch {
  readonly startRevision: number;
  readonly handlers: WatchHandlers;
}

export class ScriptedStore {
  readonly watches: AskedWatch[] = [];
  /** What the feed said of whether it follows the store, in order. */
  readonly following: (boolean | undefined)[] = [];
  /** Whether the last watcher has left. */
  left = false;
  /** What the feed did about tokens and streams, in order. */
  readonly done: string[] = [];
  readonly feed: RangeFeed;
  readonly #requests: { readonly request: RangeRequest; readonly give: (result: RangeResult | Error) => void }[] = [];

  constructor({ authenticates = false }: { readonly authenticates?: boolean } = {}) {
    const attempt = <T>(method: Method<RangeRequest, T>, request: RangeRequest): Promise<T> =>
      new Promise((resolve, reject) => {
        const give = (result: RangeResult | Error): void =>
          result instanceof Error ? reject(result) : resolve(received(method, result));
        this.#requests.push({ request, give });
      });
    const context = {
      client: {
        authenticates,
        expire: () => void this.done.push("the token expires"),
        attempt,
        read: attempt,
      },
      stream: {
        watch: ({ startRevision }: { startRevision: number }, handlers: WatchHandlers) => {
          this.watches.push({ startRevision, handlers });
          return { cancel: () => {} };
        },
        abandon: () => void this.done.push("the stream is left"),
      },
      names: new KeyNames(""),
      health: {
        following: (_: object, follows: boolean | undefined) => void this.following.push(follows),
        failed: () => {},
        saw: () => {},
      },
    };
    const range = { key: encoder.encode("a"), rangeEnd: encoder.encode("z") };
    this.feed = new RangeFeed(context as unknown as FeedContext, range, () => (this.left = true));
  }

  /** How many requests wait for an answer. */
  get asked(): number {
    return this.#requests.length;
  }

  /** Waits for the next request, and answers it. @returns the request */
  async give(result: RangeResult | Error): Promise<RangeRequest> {
    await vi.waitFor(() => expect(this.#requests, "nothing is asked").not.toHaveLength(0), { interval: 1 });
    const { request, give } = this.#requests.shift()!;
    give(result);
    await macrotask();
    return request;
  }

  /** The watch of that number, from 0 on, as soon as the feed asks for it. */
  async watchOf(number: number): Promise<AskedWatch> {
    await vi.waitFor(() => expect(this.watches.length, "no watch is asked for").toBeGreaterThan(number), {
      interval: 1,
    });
    return this.watches[number]!;
  }

  /** One more watcher of the feed. */
  watch(): RangeWatcher<string> {
    return watchRange(this.feed.entered(), text.decode, undefined);
  }
}

/** Ends a watch as a connection does that breaks. */
export function lose({ handlers }: AskedWatch): void {
  handlers.lost(new TransportError("model", 14, "connection lost", true));
}
