import { setImmediate as macrotask } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Client } from "../../src/etcd/client.ts";
import { list } from "../../src/etcd/list.ts";
import { KeyNames } from "../../src/etcd/namespace.ts";
import type { RangeRequest } from "../../src/etcd/proto/generated/etcd.ts";
import type { KeyRecord, RangeResult } from "../../src/etcd/proto/hot-decoders.ts";
import { type Method, TransportError } from "../../src/etcd/transport.ts";
import type { ListedKey } from "../../src/range/conflating-log.ts";
import { rejection } from "../support/promises.ts";
import { received } from "../support/received.ts";

const names = new KeyNames("");
const range = { key: Uint8Array.of(0x30), rangeEnd: Uint8Array.of(0x7b) };

/** A store whose answers are made by `answer`, by the number of the request. */
function clientOf(answer: (request: RangeRequest, number: number) => RangeResult): {
  client: Client;
  requests: RangeRequest[];
} {
  const requests: RangeRequest[] = [];
  const attempt = async <T>(method: Method<RangeRequest, T>, request: RangeRequest): Promise<T> => {
    requests.push(request);
    return received(method, answer(request, requests.length));
  };
  return { client: { attempt, read: attempt, requestTimeoutMs: 10_000 } as unknown as Client, requests };
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

/** All records, and the revision they are of. Pages of a reading that was begun again are forgotten. */
async function listed(client: Client, signal?: AbortSignal): Promise<{ revision: number; records: ListedKey[] }> {
  let records: ListedKey[] = [];
  const { revision } = await list({ client, names }, range, signal, () => {
    const these: ListedKey[] = (records = []);
    return (page) => void these.push(...page);
  });
  return { revision, records };
}

function refusal(details: string): TransportError {
  return new TransportError("model", 11, `etcdserver: mvcc: ${details}`, true);
}

describe("listing a range", () => {
  test("reads all pages at the revision of the first", async () => {
    const { client, requests } = clientOf((request) => page(request, { name: "a", keys: 800 }));
    const { revision, records } = await listed(client);
    expect(revision).toBe(1000);
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
    const { records } = await listed(client);
    expect(records.map(({ ascii }) => ascii)).toEqual(Array.from({ length: 200 }, (_, i) => `new ${100 + i}`));
    // The one that begins again asks for the newest state.
    expect(requests[2]).toMatchObject({ key: range.key });
    expect(requests[2]!.revision).toBe(undefined);
  });

  test("does not begin again for any other error", async () => {
    const error = new TransportError("model", 7, "etcdserver: permission denied", true);
    const { client, requests } = clientOf(() => {
      throw error;
    });
    expect(await rejection(listed(client))).toBe(error);
    expect(requests).toHaveLength(1);
  });

  test("makes pages small where values are big, and big where they are small", async () => {
    const big = clientOf((request) => {
      const answer = page(request, { name: "big", keys: 150 });
      for (const record of answer.kvs) record.value = new Uint8Array(1_000_000);
      return answer;
    });
    await listed(big.client);
    for (const { limit } of big.requests.slice(1)) expect(limit).toBeLessThanOrEqual(5);
    const small = clientOf((request) => page(request, { name: "small", keys: 900 }));
    await listed(small.client);
    expect(small.requests.map(({ limit }) => limit)).toEqual([16, 128, 1024]);
  });

  test("hands pages on as they come, and begins anew where reading does", async () => {
    const told: string[] = [];
    const { client, requests } = clientOf((request, number) => {
      told.push(`asked ${number}`);
      if (number === 3) throw refusal("required revision has been compacted");
      return page(request, { name: "a", keys: 400 });
    });
    let begun = 0;
    await list({ client, names }, range, undefined, ({ revision }) => {
      const name = `${++begun}`;
      told.push(`begin ${name} at ${revision}`);
      return (records) => void told.push(`${records.length} to ${name}`);
    });
    // Each page is asked for before the one before it is taken in.
    expect(told).toEqual([
      "asked 1",
      "begin 1 at 1000",
      "asked 2",
      "16 to 1",
      "asked 3",
      "128 to 1",
      "asked 4",
      "begin 2 at 1000",
      "asked 5",
      "16 to 2",
      "asked 6",
      "128 to 2",
      "256 to 2",
    ]);
    expect(requests).toHaveLength(6);
  });

  test("asks for less where an answer is too big to be sent, and goes on", async () => {
    const limits: (number | undefined)[] = [];
    const { client } = clientOf((request) => {
      limits.push(request.limit);
      if (request.limit! > 10)
        throw new TransportError("model", 8, "grpc: trying to send message larger than max (9 vs. 5)", true);
      return page(request, { name: "a", keys: 30 });
    });
    const { records } = await listed(client);
    expect(records).toHaveLength(30);
    expect(limits.slice(0, 2)).toEqual([16, 4]);
  });

  test("gives up on an answer that is too big with one key", async () => {
    const error = new TransportError("model", 8, "grpc: trying to send message larger than max (9 vs. 5)", true);
    const { client, requests } = clientOf(() => {
      throw error;
    });
    expect(await rejection(listed(client))).toBe(error);
    expect(requests.map(({ limit }) => limit)).toEqual([16, 4, 1]);
  });

  describe("over a slow link", () => {
    beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
    afterEach(() => void vi.useRealTimers());

    /** A store behind a link that takes `msPerKey`; small reads are answered at once, and counted. */
    function slowClient(
      msPerKey: number,
      keys: number,
    ): {
      client: Client;
      limits: number[];
      deadlines: number[];
      link: { msPerKey: number; answers: boolean; asked: number };
    } {
      const limits: number[] = [];
      const link = { msPerKey, answers: true, asked: 0 };
      const deadlines: number[] = [];
      const attempt = <T>(
        method: Method<RangeRequest, T>,
        request: RangeRequest,
        { signal, deadlineMs }: { signal: AbortSignal | undefined; deadlineMs: number },
      ): Promise<T> => {
        const answer = page(request, { name: "a", keys });
        return new Promise((resolve, reject) => {
          signal?.addEventListener("abort", () => reject(signal.reason as Error));
          if (request.keysOnly === true) {
            link.asked++;
            if (link.answers) resolve(received(method, answer));
            return;
          }
          limits.push(request.limit!);
          deadlines.push(deadlineMs);
          const takes = link.answers ? link.msPerKey * answer.kvs.length : Infinity;
          if (takes <= deadlineMs) setTimeout(() => resolve(received(method, answer)), takes);
          else setTimeout(() => reject(new TransportError("model", 4, "Deadline exceeded", true)), deadlineMs);
        });
      };
      return {
        client: { attempt, read: attempt, requestTimeoutMs: 10_000 } as unknown as Client,
        limits,
        deadlines,
        link,
      };
    }

    async function passing<T>(promise: Promise<T>): Promise<T> {
      let done = false;
      const ended = promise.finally(() => void (done = true));
      ended.catch(() => {});
      while (!done) {
        await macrotask();
        await vi.advanceTimersByTimeAsync(1000);
      }
      return ended;
    }

    test("asks for a smaller page with more time where one does not come", async () => {
      const { client, limits } = slowClient(2500, 20);
      const { records } = await passing(listed(client));
      expect(records.map(({ key }) => key)).toEqual(Array.from({ length: 20 }, (_, i) => `${100 + i}`));
      // What did not come is not asked for again.
      expect(limits).toEqual([16, 4, 4, 4, 4, 4]);
    });

    test("waits for as long as a single key takes", async () => {
      const { client, limits, deadlines } = slowClient(65_000, 2);
      const { records } = await passing(listed(client));
      expect(records).toHaveLength(2);
      expect(limits.slice(0, 4)).toEqual([16, 4, 1, 1]);
      expect(Math.max(...deadlines)).toBeLessThan(200_000);
    });

    test("asks for more again where the link has become faster", async () => {
      const { client, limits, link } = slowClient(2500, 900);
      const ended = listed(client);
      setTimeout(() => (link.msPerKey = 0), 60_000);
      const { records } = await passing(ended);
      expect(records).toHaveLength(900);
      expect(Math.max(...limits.slice(2))).toBeGreaterThan(64);
    });

    test("does not take an outage for a slow link: a small read tells, and waits for who answers", async () => {
      const { client, limits, deadlines, link } = slowClient(1, 40);
      link.answers = false;
      const ended = listed(client);
      await vi.advanceTimersByTimeAsync(600_000);
      expect([limits, link.asked]).toEqual([[16], 1]);
      link.answers = true;
      // What waited is answered now.
      const { client: well } = slowClient(1, 40);
      expect((await passing(listed(well))).records).toHaveLength(40);
      expect(Math.max(...deadlines)).toBe(10_000);
      ended.catch(() => {});
    });

    test("is ended at once by its signal", async () => {
      const { client } = slowClient(65_000, 2);
      const stop = new AbortController();
      const ended = rejection(listed(client, stop.signal));
      await macrotask();
      stop.abort("enough");
      expect(await ended).toBe("enough");
    });
  });
});
