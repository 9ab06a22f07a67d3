import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, test, vi } from "vitest";
import type { RangeRequest, TxnRequest } from "../../../src/etcd/proto/generated/etcd.ts";
import { range } from "../../../src/etcd/proto/methods.ts";
import { sharesReads, Together } from "../../../src/etcd/together.ts";
import { RangeResponse } from "../../support/generated/etcd.ts";
import { rejection } from "../../support/promises.ts";
import { macrotask } from "../../../src/internal/macrotask.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const header = { clusterId: "7", memberId: "8", revision: 9, raftTerm: 2 };

/** A store in which each key has a value of `bytes` bytes, but for those that may not be read. */
class Store {
  readonly sizes: number[] = [];
  underWay = 0;
  mostUnderWay = 0;
  bytes: number;
  mayShare = true;
  /** Whether nobody answers: then an attempt lasts until it is broken off. */
  out = false;
  readonly together: Together;

  constructor(bytes: number, forbidden = "", mostReads = 128) {
    this.bytes = bytes;
    this.together = new Together({
      mayShare: async () => this.mayShare,
      send: async (method, { success }, signal) => {
        this.sizes.push(success.length);
        this.mostUnderWay = Math.max(this.mostUnderWay, ++this.underWay);
        await turn();
        if (this.out) await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        this.underWay--;
        const keys = keysOf(success);
        if (keys.length > mostReads) throw new Error("too many operations in txn request");
        if (keys.includes(forbidden)) throw new Error("permission denied");
        return method.decode(this.#answer(keys));
      },
    });
  }

  async read(key: string, signal?: AbortSignal): Promise<unknown> {
    const request: RangeRequest = { key: encoder.encode(key) };
    const answer = await this.together.read(range, request, signal);
    return answer && [answer.header, answer.kvs[0]?.key];
  }

  /** Reads all of them, after one that begins the turn. */
  async readAll(keys: readonly string[]): Promise<unknown[]> {
    const alone = this.read("alone");
    const answers = await Promise.all(keys.map((key) => this.read(key)));
    expect(await alone).toBeUndefined();
    return answers;
  }

  #answer(keys: readonly string[]): Uint8Array {
    const writer = new BinaryWriter();
    const head = new BinaryWriter().uint32(8).uint64(7).uint32(16).uint64(8).uint32(24).int64(9).uint32(32).uint64(2);
    writer.tag(1, WireType.LengthDelimited).bytes(head.finish());
    for (const key of keys) {
      const record = { createRevision: 1, modRevision: 1, version: 1, lease: "0", value: new Uint8Array(this.bytes) };
      const kvs = [{ ...record, key: encoder.encode(key) }];
      const own = { clusterId: "0", memberId: "0", revision: 9, raftTerm: 0 };
      const read = RangeResponse.encode({ header: own, kvs, more: false, count: 1 }).finish();
      const operation = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(read).finish();
      writer.tag(3, WireType.LengthDelimited).bytes(operation);
    }
    return writer.finish();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => macrotask(resolve));

function keysOf(success: TxnRequest["success"]): string[] {
  return success.map(({ request }) => {
    if (request?.$case !== "requestRange") throw new Error(`a ${request?.$case} is no read`);
    return decoder.decode(request.value.key);
  });
}

describe("reads that are made together", () => {
  test("K2 are each answered with its own key, and the whole header", async () => {
    const store = new Store(10);
    const keys = Array.from({ length: 1000 }, (_, i) => `key-${i}`);
    expect(await store.readAll(keys)).toEqual(keys.map((key) => [header, key]));
    expect(store.sizes.reduce((sum, size) => sum + size)).toBe(1000);
    expect(store.sizes.length).toBeLessThan(15);
    expect(Math.max(...store.sizes)).toBeLessThanOrEqual(128);
    expect(store.mostUnderWay).toBe(2);
  });

  test("are few where the answers are big, and many again where they are small", async () => {
    const store = new Store((1 << 20) + 1);
    const keys = Array.from({ length: 100 }, (_, i) => `key-${i}`);
    await store.readAll(keys);
    expect(store.sizes.slice(0, 4)).toEqual([16, 16, 2, 2]);
    store.bytes = 10;
    await store.readAll(keys);
    await store.readAll(keys);
    expect(store.sizes.at(-1)).toBe(100);
  });

  test("are as few as the store allows in a transaction", async () => {
    const store = new Store(10, "", 8);
    const keys = Array.from({ length: 40 }, (_, i) => `key-${i}`);
    const answers = await store.readAll(keys);
    // The first two were too many.
    expect(answers.slice(0, 32)).toEqual(Array.from({ length: 32 }));
    expect(answers.slice(32)).toEqual(keys.slice(32).map((key) => [header, key]));
  });

  test("K9 are made alone where the server is one that does not bear it", async () => {
    const store = new Store(10);
    store.mayShare = false;
    expect(await store.readAll(["a", "b"])).toEqual([undefined, undefined]);
    expect(store.sizes).toEqual([]);
    for (const version of ["3.4.22", "3.5.0", "3.5.6", "3.3.99", "", "unknown", "2.0.0"])
      expect(sharesReads(version), version).toBe(false);
    for (const version of ["3.4.23", "3.5.7", "3.5.16", "3.6.0-rc.1", "4.0.0"])
      expect(sharesReads(version), version).toBe(true);
  });

  test("K12 leave nothing behind when they are aborted, queued or under way", async () => {
    const store = new Store(10);
    store.out = true;
    const stop = new AbortController();
    const reads = Array.from({ length: 100 }, (_, i) => store.read(`key-${i}`, stop.signal));
    const rejections = reads.slice(1).map((read) => rejection(read));
    await vi.waitFor(() => expect(store.underWay).toBe(2));
    stop.abort(new Error("enough"));
    expect(new Set(await Promise.all(rejections))).toEqual(new Set([stop.signal.reason]));
    // Nobody waits for the groups any more, and nothing is sent for those that were queued.
    await turn();
    await turn();
    expect(store.sizes).toEqual([16, 16]);
    expect(await rejection(store.read("late", stop.signal))).toBe(stop.signal.reason);
    store.out = false;
    expect(await store.readAll(["a", "b"])).toEqual([
      [header, "a"],
      [header, "b"],
    ]);
  });

  test("K9 are made alone where the store refuses them together, or where there is one", async () => {
    const store = new Store(10, "secret");
    expect(await store.readAll(["a", "secret"])).toEqual([undefined, undefined]);
    expect(store.sizes).toEqual([2]);
    expect(await store.readAll(["b"])).toEqual([undefined]);
    expect(store.sizes).toEqual([2]);
    // What was refused says nothing of the next.
    expect(await store.readAll(["a", "b"])).toEqual([
      [header, "a"],
      [header, "b"],
    ]);
  });
});
