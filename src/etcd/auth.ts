/**
 * Tokens: what a user and a password are exchanged for.
 *
 * One token serves all calls until the server refuses it, or is about to: a JWT tells when it expires, etcd's simple
 * tokens, which live on with each use, do not. Those who find it expired at the same time share one renewal.
 */
import { abortable } from "../internal/abort.ts";
import { classify } from "./errors.ts";
import { authenticate } from "./proto/methods.ts";
import { type Transport, TransportError } from "./transport.ts";

export interface Auth {
  readonly username: string;
  readonly password: string;
}

export class Tokens {
  readonly #auth: Auth;
  /** The valid token, or its renewal. */
  #token: Promise<string | undefined> | undefined;
  /** The valid token, where it is there. */
  #value: { readonly token: string | undefined; readonly renewAt: number } | undefined;

  constructor(auth: Auth) {
    this.#auth = auth;
  }

  /** A valid token; undefined where the cluster does not ask for one. @throws {@link TransportError} */
  get(transport: Transport, deadlineMs: number, signal: AbortSignal): Promise<string | undefined> {
    if (this.#value !== undefined && performance.now() >= this.#value.renewAt) this.expire(this.#value.token);
    if (this.#token === undefined) {
      const token = this.#request(transport, deadlineMs);
      this.#token = token;
      token.catch(() => {
        if (this.#token === token) this.#token = undefined;
      });
    }
    return abortable(this.#token, signal);
  }

  /** `token` was refused; or that there was none, where the cluster asks for one by now. */
  expire(token: string | undefined): void {
    if (this.#value !== undefined && this.#value.token === token) this.#token = this.#value = undefined;
  }

  async #request(transport: Transport, deadlineMs: number): Promise<string | undefined> {
    const { username: name, password } = this.#auth;
    let token: string | undefined;
    try {
      ({ token } = await transport.unary(authenticate, { name, password }, { deadlineMs }));
    } catch (error) {
      if (!(error instanceof TransportError) || classify(error).kind !== "auth-disabled") throw error;
    }
    if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
      throw new TransportError("authentication", internal, "the token is none that can be sent", true);
    }
    this.#value = { token, renewAt: renewalOf(token) };
    return token;
  }
}

/** The gRPC status of an answer that makes no sense. */
const internal = 13;

/**
 * When to have another token, by the monotonic clock: shortly before this one expires, so that no call is refused for
 * it. Never, where it does not tell.
 */
function renewalOf(token: string | undefined): number {
  const leftMs = expiryOf(token) - Date.now();
  // Less than a second: the two clocks differ, and this one says nothing about when the token is refused.
  if (!(leftMs >= 1000)) return Infinity;
  return performance.now() + leftMs - Math.min(leftMs / 10, 10_000);
}

/** When a JWT expires, in milliseconds since the epoch; `NaN` for any other token. */
function expiryOf(token = ""): number {
  const [, claims = "", signature] = token.split(".");
  if (signature === undefined) return NaN;
  try {
    const { exp } = JSON.parse(Buffer.from(claims, "base64url").toString()) as { readonly exp?: unknown };
    return typeof exp === "number" ? exp * 1000 : NaN;
  } catch {
    return NaN;
  }
}
