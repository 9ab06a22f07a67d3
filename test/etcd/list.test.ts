import { describe, expect, test } from "vitest";
import type { Client } from "../../src/etcd/client.ts";
import { list } from "../../src/etcd/list.ts";
import type { RangeRequest } from "../../src/etcd/proto/generated/etcd.ts";
import type { KeyRecord, RangeResult } from "../../src/etcd/proto/hot-decoders.ts";
import { TransportError } from "../../src/etcd/transport.ts";
import { rejection } from "../support/promises.ts";

const range = { key: Uint8Array.of(0x30), rangeEnd: Uint8Array.of(0x7b) };

/** A store whose answers are made by `answer`, by the number of the request. */
function clientOf(answer: (request: RangeRequest, number: number) => RangeResult): {
  client: Client;
  requests: RangeRequest[];
} {
  const requests: RangeRequest[] = [];
  const attempt = async (_method: unknown, request: RangeRequest): Promise<RangeResult> => {
    requests.push(request);
    return answer(request, requests.length);
  };
  return { client: { attempt } as unknown as Client, requests };
}

/** A page of a history that holds keys of three digits from 100 on, whose values tell its name. */
function page(
  request: RangeRequest,
  history: { name: string; keys: number; clusterId?: string; raftTerm?: number },
): RangeResult {
  const { name, keys, clusterId = "1", raftTerm = 2 } = history;
  const from = Buffer.from(request.key!).toString();
  const all = Array.from({ length: keys }, (_, i) => `${100 + i}`).filter((key) => key >= from);
  const kvs = all.slice(0, request.limit).map((key): KeyRecord => {
    const value = new TextEncoder().encode(`${name} ${key}`);
    return { key, rawKey: undefined, value, createRevision: 5, modRevision: 5, version: 1, lease: "0" };
  });
  const header = { clusterId, memberId: "1", raftTerm, revision: 1000 };
  return { header, kvs, more: all.length > kvs.length, count: keys };
}

function refusal(details: string): TransportError {
  return new TransportError("model", 11, `etcdserver: mvcc: ${details}`, true);
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe("listing a range", () => {
  test("reads all pages at the revision of the first", async () => {
    const { client, requests } = clientOf((request) => page(request, { name: "a", keys: 800 }));
    const { header, records } = await list(client, range, undefined);
    expect(header.revision).toBe(1000);
    expect(records.map(({ key }) => key)).toEqual(Array.from({ length: 800 }, (_, i) => `${100 + i}`));
    expect(requests.length).toBeGreaterThan(2);
    expect(requests.map(({ revision }) => revision)).toEqual([undefined, ...requests.slice(1).map(() => 1000)]);
  });

  const interruptions: [string, (request: RangeRequest, number: number) => RangeResult][] = [
    [
      "the revision is compacted between two pages",
      (request, number) => {
        if (number === 2) throw refusal("required revision has been compacted");
        return page(request, { name: number === 1 ? "old" : "new", keys: 200 });
      },
    ],
    [
      "the store is restored to an earlier revision between two pages",
      (request, number) => {
        if (number === 2) throw refusal("required revision is a future revision");
        return page(request, { name: number === 1 ? "old" : "new", keys: 200 });
      },
    ],
    [
      "another cluster answers for the second page",
      (request, number) =>
        page(request, number === 1 ? { name: "old", keys: 200 } : { name: "new", keys: 200, clusterId: "2" }),
    ],
    [
      "a store of an earlier raft term answers for the second page",
      (request, number) =>
        page(request, { name: number === 1 ? "old" : "new", keys: 200, raftTerm: number === 1 ? 3 : 2 }),
    ],
  ];
  test.each(interruptions)("begins again where %s", async (_title, answer) => {
    const { client, requests } = clientOf(answer);
    const { records } = await list(client, range, undefined);
    expect(records.map(({ value }) => textOf(value))).toEqual(Array.from({ length: 200 }, (_, i) => `new ${100 + i}`));
    // The one that begins again asks for the newest state.
    expect(requests[2]).toMatchObject({ key: range.key });
    expect(requests[2]!.revision).toBe(undefined);
  });

  test("does not begin again for any other error", async () => {
    const error = new TransportError("model", 7, "etcdserver: permission denied", true);
    const { client, requests } = clientOf(() => {
      throw error;
    });
    expect(await rejection(list(client, range, undefined))).toBe(error);
    expect(requests).toHaveLength(1);
  });

  test("makes pages small where values are big, and big where they are small", async () => {
    const big = clientOf((request) => {
      const answer = page(request, { name: "big", keys: 150 });
      for (const record of answer.kvs) record.value = new Uint8Array(1_000_000);
      return answer;
    });
    await list(big.client, range, undefined);
    for (const { limit } of big.requests.slice(1)) expect(limit).toBeLessThanOrEqual(5);
    const small = clientOf((request) => page(request, { name: "small", keys: 900 }));
    await list(small.client, range, undefined);
    expect(small.requests.map(({ limit }) => limit)).toEqual([64, 512, 4096]);
  });
});
