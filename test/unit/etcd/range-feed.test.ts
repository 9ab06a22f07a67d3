/** Single interleavings of a feed's requests, step by step; test/etcd/range-feed.test.ts explores them all. */
import { setImmediate as macrotask } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { KeyNames } from "../../../src/etcd/namespace.ts";
import type { RangeRequest } from "../../../src/etcd/proto/generated/etcd.ts";
import type { RangeResult } from "../../../src/etcd/proto/hot-decoders.ts";
import { type FeedContext, RangeFeed } from "../../../src/etcd/range-feed.ts";
import { type Method, TransportError } from "../../../src/etcd/transport.ts";
import type { WatchHandlers } from "../../../src/etcd/watch-stream.ts";
import { text } from "../../../src/index.ts";
import { watchRange } from "../../../src/range/watchers.ts";
import { received } from "../../support/received.ts";

const encoder = new TextEncoder();
const header = (revision: number): RangeResult["header"] => ({ clusterId: "1", memberId: "1", raftTerm: 2, revision });

function answer(revision: number, keys: Readonly<Record<string, number>>, count: number, more = false): RangeResult {
  const kvs = Object.entries(keys).map(([key, modRevision]) => ({
    key,
    rawKey: undefined,
    value: encoder.encode(key),
    createRevision: modRevision,
    modRevision,
    version: 1,
    lease: "0",
  }));
  return { header: header(revision), kvs, more, count };
}

/** A store whose answers the test gives, one by one. */
class Store {
  readonly requests: { readonly request: RangeRequest; readonly give: (result: RangeResult | Error) => void }[] = [];
  readonly watches: { readonly startRevision: number; readonly handlers: WatchHandlers }[] = [];
  readonly feed: RangeFeed;

  constructor() {
    const attempt = <T>(method: Method<RangeRequest, T>, request: RangeRequest): Promise<T> =>
      new Promise((resolve, reject) => {
        const give = (result: RangeResult | Error): void =>
          result instanceof Error ? reject(result) : resolve(received(method, result));
        this.requests.push({ request, give });
      });
    const context = {
      client: {
        authenticates: false,
        attempt,
        read: attempt,
      },
      stream: {
        watch: ({ startRevision }: { startRevision: number }, handlers: WatchHandlers) => {
          this.watches.push({ startRevision, handlers });
          return { cancel: () => {} };
        },
      },
      names: new KeyNames(""),
      health: { following: () => {}, saw: () => {} },
    };
    const range = { key: encoder.encode("a"), rangeEnd: encoder.encode("z") };
    this.feed = new RangeFeed(context as unknown as FeedContext, range, () => {});
  }

  async give(result: RangeResult | Error): Promise<RangeRequest> {
    await vi.waitFor(() => expect(this.requests).not.toHaveLength(0), { interval: 0 });
    const { request, give } = this.requests.shift()!;
    give(result);
    await macrotask();
    return request;
  }

  watch(): ReturnType<typeof watchRange<string>> {
    return watchRange(this.feed.entered(), text.decode, undefined);
  }
}

describe("the feed of a range", () => {
  test("K5 no phantom: a listing that the log has overtaken does not bring back what was deleted meanwhile", async () => {
    const store = new Store();
    const staying = store.watch();
    const first = staying.getBatch();
    await store.give(answer(10, { a: 10 }, 1));
    expect((await first).changes).toHaveLength(1);
    store.watches[0]!.handlers.created(header(10));

    // The watch is compacted away, and the listing that follows begins at revision 11, at which k was written.
    store.watches[0]!.handlers.compacted();
    await macrotask();
    await store.give(answer(11, { a: 10, k: 11 }, 2, true));
    const page = store.requests.shift()!;
    expect(page.request.revision).toBe(11);
    // At 12 k is deleted, and a joiner's read finds the range just as the log has it.
    const joiner = store.watch();
    const joined = joiner.getBatch();
    expect((await store.give(answer(12, {}, 1))).minModRevision).toBe(11);
    expect(await joined).toMatchObject({ revision: 12, changes: [{ key: "a" }] });
    // Now the rest of the listing comes.
    page.give(answer(12, {}, 2));
    await macrotask();

    expect(store.watches[1]!.startRevision).toBe(12);
    await expect(staying.getBatch({ backlogOnly: true })).rejects.toMatchObject({ code: "EV_BACKLOG_DONE" });
    const late = store.watch();
    const latest = late.getBatch();
    await store.give(answer(12, {}, 1));
    expect(await latest).toMatchObject({ revision: 12, changes: [{ key: "a" }] });
    for (const watcher of [staying, joiner, late]) watcher.close();
  });

  test("K5 no gap: a feed whose watch was refused asks whether it can resume, before it watches again", async () => {
    const store = new Store();
    const watcher = store.watch();
    const first = watcher.getBatch();
    await store.give(answer(10, { a: 10 }, 1));
    await first;
    const refused = watcher.get();
    store.watches[0]!.handlers.refused(new TransportError("test", 7, "etcdserver: permission denied", true), {
      transport: undefined as never,
      token: undefined,
    });
    await expect(refused).rejects.toMatchObject({ code: "EV_PERMISSION_DENIED" });

    const changed = watcher.get();
    const probe = await store.give(
      new TransportError("test", 11, "etcdserver: mvcc: required revision has been compacted", true),
    );
    expect(probe).toMatchObject({ revision: 10, keysOnly: true });
    await store.give(answer(20, { b: 15 }, 1));
    expect(await changed).toMatchObject({ type: "put", key: "b", revision: 15 });
    expect(await watcher.get()).toMatchObject({ type: "delete", key: "a", revision: 20 });
    watcher.close();
  });
});
