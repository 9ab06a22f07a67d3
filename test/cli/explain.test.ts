import { describe, expect, test } from "vitest";
import { explain, failureOf } from "../../src/cli/explain.ts";
import { Failure } from "../../src/cli/exit.ts";
import { errorOf, EventValueError } from "../../src/errors.ts";
import { TransportError } from "../../src/etcd/transport.ts";

function transportError(details: string): TransportError {
  return new TransportError("http://h:2379", 14, details, false);
}

test.each([
  ["no connection: connect ECONNREFUSED 127.0.0.1:2379", "connection refused"],
  ["no connection: read ECONNRESET", "connection reset"],
  ["no connection: connect ETIMEDOUT 10.0.0.1:2379", "connecting timed out"],
  ["no connection: getaddrinfo ENOTFOUND h", "no such host"],
  ["no connection: getaddrinfo EAI_AGAIN h", "the host's name cannot be looked up at the moment"],
  ["no connection within 2000 ms", "no connection within 2000 ms"],
  ["Received HTTP status code 404", "this is a web server, not etcd (it answered with HTTP status 404)"],
  ["Deadline exceeded after 1.000s", "no answer in time"],
  [
    "no connection: unable to verify the first certificate",
    "its certificate is not trusted: unable to verify the first certificate (--cacert says whom to trust)",
  ],
  ["etcdserver: permission denied", "permission denied"],
  ["etcdserver: user name is empty", "it asks who you are (--user)"],
  ["anything\n\x1b[31melse", "anything \\x1b[31melse"],
])("a transport that fails with %j is explained", (details, words) => {
  expect(explain(transportError(details))).toBe(`http://h:2379: ${words}`);
});

describe("an error", () => {
  const cause = transportError("etcdserver: permission denied");

  test.each([
    [new Failure(3, "it is absent"), 3, "it is absent"],
    [
      errorOf("EV_UNAVAILABLE", "…", {
        maybeApplied: false,
        cause: transportError("no connection: connect ECONNREFUSED"),
      }),
      4,
      "no answer from the store: http://h:2379: connection refused",
    ],
    [
      errorOf("EV_UNAVAILABLE", "…", { maybeApplied: true, cause: transportError("connection reset") }),
      4,
      "no answer from the store, the write may have been applied: http://h:2379: connection reset",
    ],
    [errorOf("EV_UNAVAILABLE", "it is late", { maybeApplied: false }), 4, "no answer from the store: it is late"],
    [
      new EventValueError("EV_PERMISSION_DENIED", "…", { cause }),
      1,
      "the store refused: http://h:2379: permission denied",
    ],
    [new EventValueError("EV_DECODE", "cannot be\ndecoded"), 1, "cannot be decoded"],
    [new RangeError("a\n    at b\n    at c"), 1, "unexpected error: a at b at c"],
    ["a string", 1, "unexpected error: a string"],
    [undefined, 1, "unexpected error: undefined"],
  ])("is one line with an exit code: %s", (error, exitCode, message) => {
    expect(failureOf(error)).toEqual({ exitCode, message });
  });
});
