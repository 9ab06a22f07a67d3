/** Answers to range reads of clients that a test stands in for, in the form in which the method that asked reads them. */
import type { RangeRequest } from "../../src/etcd/proto/generated/etcd.ts";
import type { RangeResult } from "../../src/etcd/proto/hot-decoders.ts";
import type { Method } from "../../src/etcd/transport.ts";
import { RangeResponse } from "./generated/etcd.ts";

const encoder = new TextEncoder();

/** What `method` makes of the answer once it has come over the wire. */
export function received<T>(method: Method<RangeRequest, T>, { header, kvs, more, count }: RangeResult): T {
  const message = {
    header,
    kvs: kvs.map(({ key, rawKey, ...rest }) => ({ key: rawKey ?? encoder.encode(key), ...rest })),
    more,
    count,
  };
  return method.decode(RangeResponse.encode(message).finish());
}
