import { describe, expect, test } from "vitest";
import { EventValueError, isEventValueError } from "../../../src/errors.ts";
import { classify, type ErrorKind, maybeApplied, refusalOf, toEventValueError } from "../../../src/etcd/errors.ts";
import { TransportError } from "../../../src/etcd/transport.ts";

const error = (status: number, details: string, maybeSent = true): TransportError =>
  new TransportError("http://h:2379", status, details, maybeSent);

describe("what an error of etcd means", () => {
  test.each<[number, string, ErrorKind, string]>([
    [11, "etcdserver: mvcc: required revision has been compacted", "compacted", "EV_STORE"],
    [11, "etcdserver: mvcc: required revision is a future revision", "future-revision", "EV_STORE"],
    [14, "etcdserver: no leader", "transient", "EV_UNAVAILABLE"],
    [14, "etcdserver: leader changed", "transient", "EV_UNAVAILABLE"],
    [14, "etcdserver: request timed out", "transient", "EV_UNAVAILABLE"],
    [14, "etcdserver: request timed out, possibly due to previous leader failure", "transient", "EV_UNAVAILABLE"],
    [14, "etcdserver: request timed out, possibly due to connection lost", "transient", "EV_UNAVAILABLE"],
    [14, "etcdserver: server stopped", "transient", "EV_UNAVAILABLE"],
    [14, "etcdserver: unhealthy cluster", "transient", "EV_UNAVAILABLE"],
    [14, "etcdserver: something of a later version", "transient", "EV_UNAVAILABLE"],
    [8, "etcdserver: too many requests", "transient", "EV_UNAVAILABLE"],
    [14, "etcdserver: not capable", "transient", "EV_UNAVAILABLE"],
    [9, "etcdserver: rpc not supported for learner", "transient", "EV_UNAVAILABLE"],
    [16, "etcdserver: invalid auth token", "auth", "EV_UNAUTHENTICATED"],
    [3, "etcdserver: user name is empty", "auth", "EV_UNAUTHENTICATED"],
    [3, "etcdserver: revision of auth store is old", "auth", "EV_UNAUTHENTICATED"],
    [3, "etcdserver: authentication failed, invalid user ID or password", "permanent", "EV_UNAUTHENTICATED"],
    [9, "etcdserver: authentication is not enabled", "auth-disabled", "EV_STORE"],
    [7, "etcdserver: permission denied", "denied", "EV_PERMISSION_DENIED"],
    [3, "etcdserver: key is not provided", "permanent", "EV_INVALID_ARGUMENT"],
    [3, "etcdserver: duplicate key given in txn request", "permanent", "EV_INVALID_ARGUMENT"],
    [3, "etcdserver: request is too large", "permanent", "EV_RESOURCE_EXHAUSTED"],
    [8, "etcdserver: mvcc: database space exceeded", "permanent", "EV_RESOURCE_EXHAUSTED"],
    [8, "grpc: received message larger than max (5 vs. 4)", "permanent", "EV_RESOURCE_EXHAUSTED"],
    [5, "etcdserver: requested lease not found", "permanent", "EV_LEASE_NOT_FOUND"],
    [15, "etcdserver: corrupt cluster", "permanent", "EV_STORE"],
    [2, "etcdserver: something of a later version", "permanent", "EV_STORE"],
  ])("%i %s: %s, %s", (status, details, kind, code) => {
    expect(classify(error(status, details))).toEqual({ kind, code });
  });

  test.each([
    [1, "context canceled"],
    [4, "Deadline exceeded after 1s"],
    [12, "unknown service etcdserverpb.KV"],
    [12, "Received HTTP status code 404"],
    [16, "Received HTTP status code 401"],
    [7, "Received HTTP status code 403"],
    [2, "Received HTTP status code 418"],
    [13, "Received RST_STREAM with code 2"],
    [14, "no connection: connect ECONNREFUSED 127.0.0.1:1"],
    [99, "a status that does not exist"],
  ])("%i %s: not for etcd to say, so it is tried again", (status, details) => {
    expect(classify(error(status, details))).toEqual({ kind: "transient", code: "EV_UNAVAILABLE" });
  });
});

describe("whether a write may have been applied", () => {
  test.each([
    [14, "Connection dropped", true, true],
    [4, "Deadline exceeded", true, true],
    [14, "etcdserver: request timed out", true, true],
    [14, "etcdserver: leader changed", true, true],
    [14, "no connection: connect ECONNREFUSED", false, false],
    [14, "etcdserver: no leader", true, false],
    [8, "etcdserver: too many requests", true, false],
    [3, "etcdserver: key is not provided", true, false],
    [16, "etcdserver: invalid auth token", true, false],
  ])("%i %s, sent %s: %s", (status, details, sent, applied) => {
    expect(maybeApplied(error(status, details, sent))).toBe(applied);
  });
});

describe("the error a user gets", () => {
  test("has the code, the key, the cause, and says what it is about", () => {
    const cause = error(7, "etcdserver: permission denied");
    const seen = toEventValueError(cause, { key: "a/b", write: true });
    expect(seen).toBeInstanceOf(EventValueError);
    expect(seen).toMatchObject({ code: "EV_PERMISSION_DENIED", key: "a/b", cause });
    expect(seen.message).toContain('"a/b"');
    expect(seen.message).toContain("etcdserver: permission denied");
    expect(seen.message).toContain("http://h:2379");
  });

  test("has no key where none is given", () => {
    expect("key" in toEventValueError(error(7, "etcdserver: permission denied"), { write: true })).toBe(false);
  });

  test.each([
    [true, true, true],
    [true, false, false],
    [false, true, false],
  ])("of a write (%s) that may have been sent (%s) may have been applied: %s", (write, sent, applied) => {
    const seen = toEventValueError(error(14, "Connection dropped", sent), { write });
    expect(isEventValueError(seen, "EV_UNAVAILABLE") && seen.maybeApplied).toBe(applied);
  });
});

describe("the refusal of a watch", () => {
  test.each([
    ["rpc error: code = PermissionDenied desc = etcdserver: permission denied", "denied", "EV_PERMISSION_DENIED"],
    ["rpc error: code = Unauthenticated desc = etcdserver: invalid auth token", "auth", "EV_UNAUTHENTICATED"],
    ["rpc error: code = InvalidArgument desc = etcdserver: user name is empty", "auth", "EV_UNAUTHENTICATED"],
    ["etcdserver: permission denied", "denied", "EV_PERMISSION_DENIED"],
    ["mvcc: watcher range is empty", "permanent", "EV_INVALID_ARGUMENT"],
    ["", "transient", "EV_UNAVAILABLE"],
  ])("%j: %s, %s", (reason, kind, code) => {
    expect(classify(refusalOf(reason))).toEqual({ kind, code });
  });
});
