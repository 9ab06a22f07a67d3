import { decodeRange, decodeWatch } from "../../src/etcd/proto/hot-decoders.ts";
import type { KeyValue } from "../../src/etcd/proto/generated/etcd.ts";
import { RangeResponse, WatchResponse } from "../../test/support/generated/etcd.ts";
import { ours, type Question } from "../harness/answer.ts";
import { compare, type Subject } from "../harness/compare.ts";

/** What is kept of a record: the key as text, and no view of the response. */
type Kept = Omit<KeyValue, "key"> & { readonly key: string };

const header = {
  clusterId: "14841639068965178418",
  memberId: "10276657743932975437",
  revision: 123_456_789,
  raftTerm: 5,
};

const question: Question = {
  title: "What do the decoders written by hand save?",
  about:
    "Answers to range reads and watch responses are decoded by hand and by generated code, which leaves keys and values as " +
    "views of the response: what is needed to keep them, the key as text and a copy of the value, is done as well. Counted is " +
    "a record. Both must give the same records.",
  async ask(scale) {
    const cases = [];
    for (const bytes of [0, 20, 100, 1_000]) cases.push(await compare(range(1_000, bytes), scale));
    for (const [events, bytes] of [
      [1, 0],
      [1, 100],
      [100, 100],
    ] as const) {
      cases.push(await compare(watch(events, bytes), scale));
    }
    return { cases };
  },
};
export default question;

function range(records: number, bytes: number): Parameters<typeof compare>[0] {
  const kvs = Array.from({ length: records }, (_, i) => keyValue(i, bytes));
  const encoded = Buffer.from(RangeResponse.encode({ header, kvs, more: true, count: 5_000 }).finish());
  return work(`a page of 1,000 values of ${bytes} bytes`, kvs, {
    [ours]: () => decodeRange(encoded).kvs,
    "generated code": () => RangeResponse.decode(encoded).kvs.map(kept),
  });
}

function watch(records: number, bytes: number): Parameters<typeof compare>[0] {
  const kvs = Array.from({ length: records }, (_, i) => keyValue(i, bytes));
  const flags = { created: false, canceled: false, compactRevision: 0, cancelReason: "", fragment: false };
  const events = kvs.map((kv) => ({ type: 0 as const, kv, prevKv: undefined }));
  const encoded = Buffer.from(WatchResponse.encode({ header, watchId: 3, ...flags, events }).finish());
  return work(`${records === 1 ? "an event" : `${records} events`} of ${bytes} bytes`, kvs, {
    [ours]: () => decodeWatch(encoded).events,
    "generated code": () => WatchResponse.decode(encoded).events.map(({ kv }) => kept(kv!)),
  });
}

function work(
  name: string,
  kvs: readonly KeyValue[],
  decoders: Readonly<Record<string, () => readonly Kept[]>>,
): Parameters<typeof compare>[0] {
  const plain = (record: Kept): Kept => ({ ...kept({ ...record, key: Buffer.from(record.key) }) });
  const expected = kvs.map(kept);
  const subject = (decode: () => readonly Kept[]): Subject => {
    let decoded: readonly Kept[] = [];
    return {
      run(operations) {
        for (let i = 0; i < operations; i++) decoded = decode();
      },
      outcome: () => decoded.map(plain),
    };
  };
  return {
    name,
    parts: kvs.length,
    target: { atMost: 0.5, than: "generated code" },
    expects: () => expected,
    contenders: Object.fromEntries(Object.entries(decoders).map(([by, decode]) => [by, () => subject(decode)])),
  };
}

/** A record that does not hold on to the response. */
function kept({ key, value, createRevision, modRevision, version, lease }: KeyValue): Kept {
  const text = Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString();
  return { key: text, value: new Uint8Array(value), createRevision, modRevision, version, lease };
}

function keyValue(i: number, bytes: number): KeyValue {
  return {
    key: Buffer.from(`/app/config/service-${String(i).padStart(8, "0")}/item`),
    value: Buffer.alloc(bytes, 120),
    createRevision: 1_000_000 + i,
    modRevision: 2_000_000 + i,
    version: 3,
    lease: "0",
  };
}
