/**
 * Calls to the cluster: to whichever member answers, with a valid token, tried again as long as that is safe.
 *
 * One member is *current*; when it fails a call that another one might answer, the next becomes current. A call that
 * changes the store is tried again only if the server certainly did not carry it out.
 *
 * It leaves to others what the answers mean, and watching.
 */
import { keyspaceClosed } from "../errors.ts";
import { status } from "@grpc/grpc-js";
import { follow } from "../internal/abort.ts";
import { Backoff } from "../internal/backoff.ts";
import { type Auth, Tokens } from "./auth.ts";
import type { Endpoint } from "./endpoint.ts";
import { classify, isLate, isOutdated, maybeApplied, toEventValueError } from "./errors.ts";
import type { RangeRequest } from "./proto/generated/etcd.ts";
import { status as statusMethod } from "./proto/methods.ts";
import { type Headed, sharesReads, Together } from "./together.ts";
import { connect, type ConnectOptions, type Method, type Transport, TransportError } from "./transport.ts";

export interface ClientOptions extends ConnectOptions {
  readonly endpoints: readonly [Endpoint, ...Endpoint[]];
  readonly auth: Auth | undefined;
  /** How long a member may take to answer before another is asked. */
  readonly requestTimeoutMs: number;
}

/** Options of {@link Client.call}. */
export interface ClientCallOptions {
  readonly signal?: AbortSignal | undefined;
  /** The key to name in errors. */
  readonly key?: string | undefined;
  readonly deadlineMs?: number | undefined;
  /**
   * Reject with what this holds for, instead of asking again or another member: who asks for much asks for less where
   * it is late, or learns by another call that nobody answers.
   */
  readonly tell?: ((error: TransportError) => boolean) | undefined;
}

/** A member to talk to, and the token to talk with. */
export interface Access {
  readonly transport: Transport;
  readonly token: string | undefined;
}

/** A call that ends so long after its deadline ends because the event loop did not turn. */
const blockedMs = 500;

const unavailable: number = status.UNAVAILABLE;

/** Whether the server, or what is before it, has answered or not in time: not merely the connection is lost. */
function isNoOutage(error: TransportError): boolean {
  return isLate(error) || error.status !== unavailable;
}

/** How many fresh tokens in a row may be refused before that is an error. */
const mostRenewals = 4;

export class Client {
  /** How long a member may take to answer. */
  readonly requestTimeoutMs: number;
  readonly #transports: readonly Transport[];
  readonly #tokens: Tokens | undefined;
  readonly #closing = new AbortController();
  readonly #together = new Together({
    mayShare: (signal) => this.#mayShare(signal),
    // What is late, or refused in whatever way, goes on alone, with all the time that a call may take.
    send: (method, request, signal) =>
      this.attempt(method, request, { signal, tell: isNoOutage, deadlineMs: this.requestTimeoutMs / 4 }),
  });
  /** Whether the members whose version was asked for share reads. */
  readonly #sharing = new WeakMap<Transport, boolean>();
  #current: number;
  /** Told of every attempt that another member might answer. */
  onFailure: (error: TransportError, transport: Transport) => void = () => {};

  constructor({ endpoints, auth, requestTimeoutMs, ...connecting }: ClientOptions) {
    this.#transports = endpoints.map((endpoint) => connect(endpoint, connecting));
    this.#tokens = auth === undefined ? undefined : new Tokens(auth);
    this.requestTimeoutMs = requestTimeoutMs;
    // Clients spread over the members.
    this.#current = Math.floor(Math.random() * endpoints.length);
  }

  /** Aborted when the client is closed, with an `EV_CLOSED`. */
  get closed(): AbortSignal {
    return this.#closing.signal;
  }

  /** Ends all calls with `EV_CLOSED`, and leaves no timer and no socket. */
  close(): void {
    if (this.closed.aborted) return;
    this.#closing.abort(keyspaceClosed());
    for (const transport of this.#transports) transport.close();
  }

  /**
   * Calls `method` until a member has answered.
   *
   * @throws `signal.reason`; `EV_CLOSED`; `EV_UNAVAILABLE` where a write may have been carried out and its answer was
   *   lost; {@link EventValueError} for what the store refused.
   */
  async call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: ClientCallOptions = {},
  ): Promise<Response> {
    try {
      return await this.attempt(method, request, options);
    } catch (error) {
      throw error instanceof TransportError
        ? toEventValueError(error, { key: options.key, write: method.write })
        : error;
    }
  }

  /** As {@link call}, but refusals are the `TransportError` they came as. */
  async attempt<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    { signal, deadlineMs = this.requestTimeoutMs, tell }: ClientCallOptions,
  ): Promise<Response> {
    const { stop, unlink } = this.#stopOf(signal);
    const backoff = new Backoff();
    /** Members asked since the last wait. */
    let asked = 0;
    /** Tokens that were refused in a row. */
    let renewals = 0;
    try {
      for (;;) {
        stop.throwIfAborted();
        const access = await this.access(stop);
        const { transport, token } = access;
        const began = performance.now();
        try {
          return await transport.unary(method, request, { signal: stop, token, deadlineMs });
        } catch (error) {
          stop.throwIfAborted();
          if (!(error instanceof TransportError)) throw error;
          const { kind } = classify(error);
          if (kind === "auth" && (isOutdated(error) || this.#mayRenew(access, renewals))) {
            this.expire(access);
            if (renewals++ > 0) await backoff.wait(stop);
            continue;
          }
          const late = isLate(error);
          // An answer that takes long because it is big is for the caller to do something about.
          if (tell?.(error) === true) throw error;
          // Where the event loop stood still, nobody could have answered.
          const blocked = late && performance.now() - began > deadlineMs + blockedMs;
          if (kind === "transient" && !blocked) this.leave(transport, error);
          // A simple token tells how far the store had come when it was made, and a member that has not come as far
          // waits until it has. Of a store that was restored or replaced that may be never.
          if (late) this.expire(access);
          if (kind !== "transient" || (method.write && maybeApplied(error))) throw error;
          // What comes after an outage may take a token of its own.
          renewals = 0;
        }
        if (++asked < this.#transports.length) continue;
        asked = 0;
        await backoff.wait(stop);
      }
    } finally {
      unlink();
    }
  }

  /**
   * Reads one key, as {@link attempt}: together with what others read in the same turn of the event loop.
   */
  async read<Response extends Headed>(
    method: Method<RangeRequest, Response>,
    request: RangeRequest,
    options: ClientCallOptions,
  ): Promise<Response> {
    const shared = this.#together.read(method, request, options.signal);
    return (shared && (await shared)) ?? this.attempt(method, request, options);
  }

  /**
   * Whether the current member makes transactions of reads. Before 3.5.7 and 3.4.23 one whose caller goes away in the
   * midst of it can end the server (etcd's issues 14110 and 14891), and callers do go away.
   */
  async #mayShare(signal: AbortSignal): Promise<boolean> {
    let shares = this.#sharing.get(this.current);
    if (shares === undefined) {
      const options = { signal, tell: isNoOutage, deadlineMs: this.requestTimeoutMs / 4 };
      try {
        const { version } = await this.attempt(statusMethod, {}, options);
        shares = sharesReads(version);
      } catch {
        signal.throwIfAborted();
        this.closed.throwIfAborted();
        // Who says nothing of itself is not trusted with it.
        shares = false;
      }
      this.#sharing.set(this.current, shares);
    }
    return shares;
  }

  /**
   * What ends a call: `signal`, or closing. One of its own takes 20 us with its listeners, a tenth of a call, and most
   * calls are given none.
   */
  #stopOf(signal: AbortSignal | undefined): { readonly stop: AbortSignal; readonly unlink: () => void } {
    if (signal === undefined) return { stop: this.closed, unlink: () => {} };
    const stop = new AbortController();
    const following = [follow(stop, signal), follow(stop, this.closed)];
    const unlink = (): void => {
      for (const entry of following) entry.unlink();
    };
    return { stop: stop.signal, unlink };
  }

  /**
   * Whether another token may help. The one that was refused was given for a password that is right, so it is time that
   * makes it wrong: the member was restarted, its users changed, or it did not ask for tokens a moment ago. Members that
   * refuse what others give do so for good.
   */
  #mayRenew({ token }: Access, renewals: number): boolean {
    return this.#tokens !== undefined && (token === undefined || renewals < mostRenewals);
  }

  /** The current member with a valid token, which is asked for if need be. */
  async access(signal: AbortSignal): Promise<Access> {
    const backoff = new Backoff();
    for (;;) {
      const transport = this.current;
      if (this.#tokens === undefined) return { transport, token: undefined };
      try {
        return { transport, token: await this.#tokens.get(transport, this.requestTimeoutMs, signal) };
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof TransportError) || classify(error).kind !== "transient") throw error;
        this.leave(transport, error);
        await backoff.wait(signal);
      }
    }
  }

  /** The token of `access` was refused: the next access has another. */
  expire(access: Access): void {
    this.#tokens?.expire(access.token);
  }

  /** Whether there are tokens that may expire. */
  get authenticates(): boolean {
    return this.#tokens !== undefined;
  }

  /** The member that calls go to. */
  get current(): Transport {
    return this.#transports[this.#current] as Transport;
  }

  /** `transport` failed: unless somebody has seen to that before, another member becomes current. */
  leave(transport: Transport, error: TransportError): void {
    if (this.current === transport) this.#current = (this.#current + 1) % this.#transports.length;
    this.onFailure(error, transport);
  }
}
