import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Tokens } from "../../src/etcd/auth.ts";
import type { Method, Transport } from "../../src/etcd/transport.ts";
import { rejection } from "../support/promises.ts";

/** A transport that answers with `tokens`, one after the other. */
function answering(tokens: readonly string[]): { transport: Transport; asked: () => number } {
  let asked = 0;
  const transport: Transport = {
    unary: async <Request, Response>(_method: Method<Request, Response>) => ({ token: tokens[asked++] }) as Response,
    duplex: () => ({ send: () => {}, close: () => {} }),
    close: () => {},
  };
  return { transport, asked: () => asked };
}

/** A JWT that expires so many milliseconds from now. */
function jwt(ms: number): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256" })}.${part({ username: "user", exp: (Date.now() + ms) / 1000 })}.${part(Math.random())}`;
}

describe("a token", () => {
  const { signal } = new AbortController();
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function tokensOf(transport: Transport): () => Promise<string | undefined> {
    const tokens = new Tokens({ username: "user", password: "right" });
    return () => tokens.get(transport, 1000, signal);
  }

  test("K9 tells when it expires, if it is a JWT, and is renewed before, once for all", async () => {
    const [first, second] = [jwt(60_000), jwt(120_000)];
    const { transport, asked } = answering([first, second]);
    const get = tokensOf(transport);
    expect(await get()).toBe(first);
    vi.advanceTimersByTime(53_000);
    expect(await get()).toBe(first);
    vi.advanceTimersByTime(2000);
    expect(await Promise.all([get(), get(), get()])).toEqual([second, second, second]);
    expect(asked()).toBe(2);
  });

  test.each([
    ["is no JWT", "AbCdEf.17"],
    ["has three parts, but is none", "a.b.c"],
    ["has expired by a clock that is not the server's", jwt(-60_000)],
  ])("K9 that %s is used until it is refused", async (_title, token) => {
    const { transport, asked } = answering([token, "another"]);
    const get = tokensOf(transport);
    for (let i = 0; i < 3; i++) {
      expect(await get()).toBe(token);
      vi.advanceTimersByTime(3_600_000);
    }
    expect(asked()).toBe(1);
  });

  test.each(["a\nb", "", "\u00E9"])("that cannot be sent (%j) is none, and another one is asked for", async (token) => {
    const { transport } = answering([token, "good"]);
    const get = tokensOf(transport);
    expect(await rejection(get())).toMatchObject({
      status: 13,
      message: expect.stringContaining("none that can be sent"),
    });
    expect(await get()).toBe("good");
  });
});
