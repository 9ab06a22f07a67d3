import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, test } from "vitest";
import type { RangeRequest, TxnRequest } from "../../../src/etcd/proto/generated/etcd.ts";
import { range } from "../../../src/etcd/proto/methods.ts";
import { Together } from "../../../src/etcd/together.ts";
import { RangeResponse } from "../../support/generated/etcd.ts";
import { macrotask } from "../../../src/internal/macrotask.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const header = { clusterId: "7", memberId: "8", revision: 9, raftTerm: 2 };

/** A store in which each key has a value of `bytes` bytes, but for those that may not be read. */
class Store {
  readonly sizes: number[] = [];
  underWay = 0;
  mostUnderWay = 0;
  readonly together: Together;
  #bytes: number;

  constructor(bytes: number, forbidden = "") {
    this.#bytes = bytes;
    this.together = new Together(async (method, { success }) => {
      this.sizes.push(success.length);
      this.mostUnderWay = Math.max(this.mostUnderWay, ++this.underWay);
      await turn();
      this.underWay--;
      const keys = keysOf(success);
      if (keys.includes(forbidden)) throw new Error("permission denied");
      return method.decode(this.#answer(keys));
    });
  }

  async read(key: string): Promise<unknown> {
    const request: RangeRequest = { key: encoder.encode(key) };
    const answer = await this.together.read(range, request);
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
      const record = { createRevision: 1, modRevision: 1, version: 1, lease: "0", value: new Uint8Array(this.#bytes) };
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

  test("are few where the answers are big", async () => {
    const store = new Store(1 << 20);
    await store.readAll(Array.from({ length: 100 }, (_, i) => `key-${i}`));
    expect(Math.max(...store.sizes.slice(2))).toBeLessThanOrEqual(2);
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
