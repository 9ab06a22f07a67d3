/**
 * The narrow gRPC interface the rest stands on, one unary call and one duplex stream to one endpoint, over
 * `@grpc/grpc-js`. Another implementation of {@link Transport} can take its place.
 *
 * - Streams, unary calls and bulk reads have a connection each, so that the one does not delay the other. On a slow
 *   link minutes of a bulk read can be queued up; a call behind them would be late, and so would the answer to a probe.
 * - A connection is made when a call needs one and never otherwise: who calls decides when to try again. Connecting
 *   is bounded in time; a connection that breaks fails the calls on it and is forgotten.
 * - Every failure is a {@link TransportError}; whether to try again is for `errors.ts` and the caller to say.
 * - After `close()` no timer and no socket is left.
 */
import { Metadata, status as statusCodes, type StatusObject } from "@grpc/grpc-js";
import { AbortEntry } from "../internal/abort.ts";
import { type Connection, dialer, Lane } from "./connection.ts";
import type { Endpoint } from "./endpoint.ts";

/** One call of a gRPC service. */
export interface Method<Request, Response> {
  /** `/package.Service/Method` */
  readonly path: string;
  /** Whether the call changes the store. */
  readonly write: boolean;
  /** Whether its answers are so big that other calls should not have to wait behind them. */
  readonly bulk?: boolean;
  encode(request: Request): Uint8Array;
  /** May keep nothing of `bytes`, which belong to the transport. */
  decode(bytes: Uint8Array): Response;
}

/** Options of every call. */
export interface CallOptions {
  /** etcd's auth token. */
  readonly token?: string | undefined;
  /**
   * Have a member that has lost its leader refuse the call, or end the stream, instead of leaving it silent.
   *
   * @defaultValue true
   */
  readonly requireLeader?: boolean | undefined;
}

/** Options of a unary call. */
export interface UnaryOptions extends CallOptions {
  /** Aborting rejects the call with `signal.reason` itself; it may have been carried out all the same. */
  readonly signal?: AbortSignal | undefined;
  /** After this time the call rejects with status `DEADLINE_EXCEEDED` (4), connected or not. None by default. */
  readonly deadlineMs?: number | undefined;
}

/** The sending side of a stream. */
export interface Duplex<Request> {
  /** Sends a message, as soon as there is a connection. Does nothing once the stream has ended. */
  send(request: Request): void;
  /** Cancels the stream: from here on no handler is called. Idempotent. */
  close(): void;
}

/** The receiving side of a stream. Handlers should not throw: what `message` throws ends the stream as its `cause`. */
export interface StreamHandlers<Response> {
  message(response: Response): void;
  /** Called exactly once, unless `close()` came first; also where the server ends the stream without an error. */
  end(error: TransportError): void;
}

/** Calls to one endpoint. */
export interface Transport {
  /**
   * @throws {@link TransportError}; `signal.reason` where that was aborted; what `method.encode` throws.
   */
  unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options?: UnaryOptions,
  ): Promise<Response>;
  /** No handler is called before this has returned. */
  duplex<Request, Response>(
    method: Method<Request, Response>,
    handlers: StreamHandlers<Response>,
    options?: CallOptions,
  ): Duplex<Request>;
  /** Ends all that is open, with a {@link TransportError}, and every later call. Idempotent. */
  close(): void;
}

/** Options of {@link connect}. */
export interface ConnectOptions {
  /** Used where the endpoint is `https`. */
  readonly tls?: TlsOptions | undefined;
  /**
   * How long connecting may take: name resolution, TCP, TLS and the first HTTP/2 frame, which a frozen server never
   * sends.
   *
   * @defaultValue 2000
   */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * A connection with calls on it is probed when nothing was heard for so long. etcd refuses probes more often than
   * every 5 s, so less counts as 5000.
   *
   * @defaultValue 10000
   */
  readonly keepAliveMs?: number | undefined;
  /**
   * How long a probe may stay unanswered before the connection counts as broken.
   *
   * @defaultValue 3000
   */
  readonly keepAliveTimeoutMs?: number | undefined;
}

/** How to speak TLS: certificates and keys in PEM form. */
export interface TlsOptions {
  /** Who may have signed the server's certificate. The platform's authorities by default. */
  readonly ca?: string | Uint8Array | undefined;
  /** The client's certificate, together with `key`. */
  readonly cert?: string | Uint8Array | undefined;
  readonly key?: string | Uint8Array | undefined;
  /** The name to ask for and to expect in the server's certificate, where it is not the endpoint's host. */
  readonly serverName?: string | undefined;
}

/** Why a call or a stream failed. */
export class TransportError extends Error {
  override readonly name: string = "TransportError";
  /** The gRPC status code. */
  readonly status: number;
  /** What came with it: etcd's message, or the transport's. */
  readonly details: string;
  /** The endpoint's URL. */
  readonly endpoint: string;
  /** `false` only where the server certainly did not process the request. */
  readonly maybeSent: boolean;

  constructor(endpoint: string, status: number, details: string, maybeSent: boolean, options?: ErrorOptions) {
    super(`${endpoint}: ${statusCodes[status] ?? `status ${status}`}: ${details}`, options);
    this.status = status;
    this.details = details;
    this.endpoint = endpoint;
    this.maybeSent = maybeSent;
  }
}

/** Makes a transport to `endpoint`. It connects when it is first used. @throws `TypeError` where `options.tls` is unusable. */
export function connect(endpoint: Endpoint, options: ConnectOptions = {}): Transport {
  return new GrpcTransport(endpoint, options);
}

/** What is missing where a message is in a compression that was not announced, whatever the types of grpc-js say. */
type StatusDetails = Partial<Pick<StatusObject, "details">>;

/** How many times as long the answer to a probe may take where much may be queued up before it. */
const bulkPatience = 10;

/** Something under way on a connection. */
interface OpenCall {
  cancel(): void;
}

class GrpcTransport implements Transport {
  readonly #endpoint: Endpoint;
  readonly #streams: Lane;
  readonly #calls: Lane;
  readonly #bulk: Lane;
  /** Everything that has not ended. */
  readonly #open = new Set<OpenCall>();
  #closed = false;

  constructor(endpoint: Endpoint, options: ConnectOptions) {
    this.#endpoint = endpoint;
    const dial = dialer(endpoint, options);
    this.#streams = new Lane(dial);
    this.#calls = new Lane(dial);
    this.#bulk = new Lane(() => dial(bulkPatience));
  }

  unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: UnaryOptions = {},
  ): Promise<Response> {
    const { signal, deadlineMs } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#closed) return Promise.reject(this.#afterClose());
    return new Promise((resolve, reject) => {
      const bytes = asBuffer(method.encode(request));
      const metadata = metadataOf(options);
      const connection = (method.bulk === true ? this.#bulk : this.#calls).connection();
      const deadline = deadlineMs === undefined ? Infinity : Date.now() + deadlineMs;
      // Not by `makeUnaryRequest`, which takes a stack trace of each call, and has it go through interceptors that there
      // are none of: 20 us less of 150, of a call that is one of many.
      const call = connection.channel.createCall(method.path, deadline, null, null, null);
      connection.enter();
      const open = { cancel: () => call.cancelWithStatus(statusCodes.CANCELLED, cancelled) };
      this.#open.add(open);
      let entry: AbortEntry | undefined;
      let answer: Buffer | undefined;
      const ended = (status: StatusObject): void => {
        this.#open.delete(open);
        entry?.unlink();
        connection.leave();
        if (status.code !== statusCodes.OK) return reject(this.#errorOf(status, connection, call.getPeer()));
        const nonsense = (details: string, options?: ErrorOptions): void =>
          reject(new TransportError(this.#endpoint.url, statusCodes.INTERNAL, details, true, options));
        if (answer === undefined) return nonsense("the server sent no answer");
        try {
          resolve(method.decode(answer));
        } catch (cause) {
          nonsense("the answer could not be decoded", { cause });
        }
      };
      call.start(metadata, {
        onReceiveMetadata: () => undefined,
        onReceiveMessage: (message: Buffer) => (answer = message),
        onReceiveStatus: ended,
      });
      call.startRead();
      call.sendMessageWithContext({}, bytes);
      call.halfClose();
      if (signal !== undefined) {
        entry = new AbortEntry((reason) => {
          reject(reason);
          open.cancel();
        }).await(signal);
      }
    });
  }

  duplex<Request, Response>(
    method: Method<Request, Response>,
    handlers: StreamHandlers<Response>,
    options: CallOptions = {},
  ): Duplex<Request> {
    if (this.#closed) {
      let silent = false;
      queueMicrotask(() => {
        if (!silent) guarded(() => handlers.end(this.#afterClose()));
      });
      return { send: () => undefined, close: () => void (silent = true) };
    }
    const metadata = metadataOf(options);
    const connection = this.#streams.connection();
    connection.enter();
    const call = connection.client.makeBidiStreamRequest(method.path, same, same, metadata);
    this.#open.add(call);
    /** Whether handlers may still be called. */
    let listening = true;
    const end = (error: () => TransportError): void => {
      if (!listening) return;
      listening = false;
      guarded(() => handlers.end(error()));
    };
    call.on("data", (bytes: Buffer) => {
      if (!listening) return;
      try {
        handlers.message(method.decode(bytes));
      } catch (cause) {
        const details = "the message could not be decoded, or its handler threw";
        end(() => new TransportError(this.#endpoint.url, statusCodes.INTERNAL, details, true, { cause }));
        call.cancel();
      }
    });
    call.on("error", () => undefined); // "status" tells the same, also of a stream that ends well
    call.on("status", (status: StatusObject) => {
      this.#open.delete(call);
      connection.leave();
      end(() => this.#errorOf(status, connection, call.getPeer()));
    });
    return {
      send: (request) => {
        if (listening) call.write(asBuffer(method.encode(request)));
      },
      close: () => {
        listening = false;
        call.cancel();
      },
    };
  }

  close(): void {
    this.#closed = true;
    for (const call of this.#open) call.cancel();
    this.#streams.close();
    this.#calls.close();
    this.#bulk.close();
  }

  #afterClose(): TransportError {
    return new TransportError(this.#endpoint.url, statusCodes.CANCELLED, "the transport was closed", false);
  }

  #errorOf(status: Pick<StatusObject, "code"> & StatusDetails, connection: Connection, peer: string): TransportError {
    // Until a call is given a connection, its peer is the channel's target. What HTTP/2 says beyond that ("not
    // processed", of a refused stream or of those after a GOAWAY) servers get wrong.
    const maybeSent = peer !== connection.target;
    let { code, details = "no details" } = status;
    if (this.#closed && code === statusCodes.CANCELLED) details = "the transport was closed";
    else if (!maybeSent) {
      details = connection.problem ?? details.replace(noConnection, "no connection: $1");
      if (details === closedEarly) details = this.#endpoint.secure ? closedAfterTls : closedBefore;
    }
    if (code === statusCodes.OK) {
      code = statusCodes.UNAVAILABLE;
      details = "the server ended the stream";
    }
    return new TransportError(this.#endpoint.url, code, details, maybeSent);
  }
}

/** The same bytes: copied only where grpc-js needs them to be a Buffer and copies itself. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function metadataOf({ token, requireLeader = true }: CallOptions): Metadata {
  const metadata = new Metadata();
  if (requireLeader) metadata.set("hasleader", "true");
  if (token !== undefined) metadata.set("token", token);
  return metadata;
}

/** As grpc-js says it. */
const cancelled = "Cancelled on client";

function same(bytes: Buffer): Buffer {
  return bytes;
}

/** How grpc-js says so, with an empty note at the end, and sometimes the time. */
const noConnection =
  /^No connection established\. Last error: (?:Error: )?(.*?)(?: \(\d{4}-[-:.\dTZ]*\))?\. Resolution note: $/s;

/** How that reads where the server has closed the connection, and what it says no more about. */
const closedEarly = "no connection: Failed to connect";
const closedBefore = "no connection: the server closed it before it spoke HTTP/2";
/** With TLS 1.3 a server sees the client's certificate when the client is done already. */
const closedAfterTls = `${closedBefore}; it may not accept the client's certificate, or want one`;

/** Runs a handler of the caller's: nobody is left to tell what it throws, and it must not end the process. */
function guarded(handler: () => void): void {
  try {
    handler();
  } catch {
    // See above.
  }
}
