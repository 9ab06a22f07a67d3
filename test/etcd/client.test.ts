import { describe, expect, test, vi } from "vitest";
import { Client, type ClientOptions } from "../../src/etcd/client.ts";
import { isLate } from "../../src/etcd/errors.ts";
import { authenticate, put, range } from "../../src/etcd/proto/methods.ts";
import { connect, type Method, type Transport, TransportError, type UnaryOptions } from "../../src/etcd/transport.ts";
import { codeOf, rejection } from "../support/promises.ts";

vi.mock("../../src/etcd/transport.ts", { spy: true });

const endpoints = ["http://a:1", "http://b:1"].map((url) => ({ host: url[7]!, port: 1, secure: false, url }));
const failure = (status: number, details: string, maybeSent: boolean): TransportError =>
  new TransportError("model", status, details, maybeSent);
const unreachable = failure(14, "no connection", false);
const lost = failure(14, "connection lost", true);
/** What grpc-js makes of a server's wish to be left in peace. */
const calm = failure(8, "Bandwidth exhausted or memory limit exceeded", true);
const expired = failure(16, "etcdserver: invalid auth token", true);

/** A client whose calls are answered by `answers`, one after the other; what was called, and whom. */
function clientOf(
  answers: readonly unknown[],
  auth?: ClientOptions["auth"],
  authentication: "enabled" | "disabled" = "enabled",
): { client: Client; calls: string[]; hosts: string[] } {
  const calls: string[] = [];
  const hosts: string[] = [];
  const left = [...answers];
  let tokens = 0;
  vi.mocked(connect).mockImplementation(({ host }) => {
    const transport: Transport = {
      async unary<Request, Response>(method: Method<Request, Response>, _request: Request, options?: UnaryOptions) {
        if ((method as unknown) === authenticate) {
          calls.push("authenticate");
          if (authentication === "disabled") throw failure(9, "etcdserver: authentication is not enabled", true);
          return { token: `token-${++tokens}` } as Response;
        }
        calls.push(`${method.path.split("/").at(-1)}${options?.token === undefined ? "" : ` with ${options.token}`}`);
        hosts.push(host);
        const answer = left.shift();
        if (answer instanceof Error) throw answer;
        return { answer } as Response;
      },
      duplex: () => ({ send: () => {}, close: () => {} }),
      close: () => {},
    };
    return transport;
  });
  const all = endpoints as unknown as ClientOptions["endpoints"];
  return { client: new Client({ endpoints: all, auth, requestTimeoutMs: 1000 }), calls, hosts };
}

const auth = { username: "user", password: "right" };

describe("the calls of a client", () => {
  test("K9 an expired token is renewed, and again after an outage, within one call", async () => {
    const { client, calls } = clientOf([expired, unreachable, expired, "here"], auth);
    expect(await client.call(range, {})).toMatchObject({ answer: "here" });
    expect(calls).toEqual([
      "authenticate",
      "Range with token-1",
      "authenticate",
      "Range with token-2",
      "Range with token-2",
      "authenticate",
      "Range with token-3",
    ]);
  });

  test("K9 tokens that are refused one after the other are renewed, but not for ever", async () => {
    const { client } = clientOf([expired, expired, expired, "here"], auth);
    expect(await client.call(range, {})).toMatchObject({ answer: "here" });
    const { client: refused, calls } = clientOf([expired, expired, expired, expired, expired, "never"], auth);
    expect(await codeOf(refused.call(range, {}))).toBe("EV_UNAUTHENTICATED");
    expect(calls.filter((call) => call === "authenticate")).toHaveLength(5);
  });

  test("K9 a cluster that asks for tokens again and again, and not in between, is given them", async () => {
    const nameless = failure(3, "etcdserver: user name is empty", true);
    const { client, calls } = clientOf([...Array.from({ length: 8 }, () => nameless), "here"], auth, "disabled");
    expect(await client.call(range, {})).toMatchObject({ answer: "here" });
    expect(calls.at(-1)).toBe("Range");
  });

  test("K9 a token that a call got no answer with is not used again: a store that was restored may wait for ever", async () => {
    const late = failure(4, "Deadline exceeded", true);
    const { client, calls } = clientOf([late, "here"], auth);
    expect(await client.call(range, {})).toMatchObject({ answer: "here" });
    expect(calls).toEqual(["authenticate", "Range with token-1", "authenticate", "Range with token-2"]);
  });

  test("K9 a token that users or roles have changed since is renewed as often as they do; without one, it is tried again", async () => {
    const outdated = failure(3, "etcdserver: revision of auth store is old", true);
    for (const method of [range, put]) {
      const { client, calls } = clientOf([outdated, outdated, outdated, "here"], auth);
      expect(await client.call(method as typeof range, {})).toMatchObject({ answer: "here" });
      expect(calls.filter((call) => call === "authenticate")).toHaveLength(4);
    }
    // A user may also be known by a certificate.
    const { client, calls } = clientOf([outdated, outdated, "here"]);
    expect(await client.call(put, {})).toMatchObject({ answer: "here" });
    expect(calls).toHaveLength(3);
  });

  test("K9 what a member fails at is asked of the next one; a write only where it was certainly not carried out", async () => {
    for (const [method, failed, isRepeated] of [
      [range, unreachable, true],
      [range, lost, true],
      [range, calm, true],
      [put, unreachable, true],
      [put, lost, false],
    ] as const) {
      const { client, calls } = clientOf([failed, "here"]);
      const call = client.call(method as typeof range, {}, { key: "key" });
      if (isRepeated) {
        expect(await call).toMatchObject({ answer: "here" });
        expect(calls).toHaveLength(2);
      } else {
        expect(await rejection(call)).toMatchObject({ code: "EV_UNAVAILABLE", maybeApplied: true, key: "key" });
        expect(calls).toHaveLength(1);
      }
    }
  });

  test("K9 a member that loses the answer to a write is left: the next call is another one's", async () => {
    const { client, hosts } = clientOf([lost, "here"]);
    expect(await codeOf(client.call(put, {}))).toBe("EV_UNAVAILABLE");
    await client.call(put, {});
    expect(hosts[1]).not.toBe(hosts[0]);
  });

  test("K9 a bulk read that is late is told to who made it, and costs neither the member nor the token", async () => {
    const late = failure(4, "Deadline exceeded", true);
    const { client, calls, hosts } = clientOf([late, "here"], auth);
    expect(await rejection(client.attempt(range, {}, { tell: isLate }))).toBe(late);
    expect(await client.call(range, {})).toMatchObject({ answer: "here" });
    expect(hosts[0]).toBe(hosts[1]);
    expect(calls.filter((call) => call === "authenticate")).toHaveLength(1);
  });

  test("K9 a member is not left for an answer that the event loop had no time to read", async () => {
    const late = failure(4, "Deadline exceeded", true);
    for (const [tookMs, stays] of [
      [1001, false],
      [4000, true],
    ] as const) {
      const { client } = clientOf([late, "here"]);
      const left: unknown[] = [];
      client.onFailure = (error) => void left.push(error);
      const clock = vi.spyOn(performance, "now").mockReturnValueOnce(0).mockReturnValue(tookMs);
      try {
        await client.call(range, {});
      } finally {
        clock.mockRestore();
      }
      expect(left).toEqual(stays ? [] : [late]);
    }
  });

  test("K9 members take turns, and who succeeds stays", async () => {
    const { client, hosts } = clientOf([unreachable, "1", "2", unreachable, "3", "4"]);
    for (let i = 0; i < 4; i++) await client.call(range, {});
    const [one, other] = hosts;
    expect(one).not.toBe(other);
    expect(hosts).toEqual([one, other, other, other, one, one]);
  });
});
