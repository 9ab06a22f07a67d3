/**
 * Tokens: what a user and a password are exchanged for.
 *
 * One token serves all calls until the server refuses it. Those who find it expired at the same time share one
 * renewal.
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
  #value: { readonly token: string | undefined } | undefined;

  constructor(auth: Auth) {
    this.#auth = auth;
  }

  /** A valid token; undefined where the cluster does not ask for one. @throws {@link TransportError} */
  get(transport: Transport, deadlineMs: number, signal: AbortSignal): Promise<string | undefined> {
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
    this.#value = { token };
    return token;
  }
}
