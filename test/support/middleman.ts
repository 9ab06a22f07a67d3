/**
 * A man in the middle of gRPC: he knows one call from another, so that a test can lose just the answer it means, after
 * the server has carried the call out, or the request, before the server has seen it.
 */
import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";

/** A call on its way, whose request is there as a whole. */
export interface PassingCall {
  /** `KV/Txn`, for instance. */
  readonly method: string;
  /**
   * Hands the request on. Resolves with the message of the answer when that has come, of which the client is not told by
   * that; with nothing where there is none, or one without a message.
   */
  forward(): Promise<Uint8Array | undefined>;
  /** Hands the client the answer that has come. */
  answer(): void;
  /** Resets the client's connection. */
  cut(): void;
}

/** What is done with a call. One that is not answered stays open, unless it is cut. */
export type Treatment = (call: PassingCall) => Promise<void> | void;

/** The server carries it out, and the client is not told. */
export async function loseAnswer(call: PassingCall): Promise<void> {
  await call.forward();
  call.cut();
}

/** The server does not get to see it; the client cannot tell that from {@link loseAnswer}. */
export function swallow(call: PassingCall): void {
  call.cut();
}

/** Nothing comes back, and the connection stays as it is. */
export function keepSilent(): void {}

async function pass(call: PassingCall): Promise<void> {
  await call.forward();
  call.answer();
}

/** What goes on without an end; everything else is one request with one answer. */
const streams = new Set(["Watch/Watch", "Lease/LeaseKeepAlive"]);

/** Starts one on a free port of 127.0.0.1, in front of the server on port `target`. */
export async function startMiddleman(target: number): Promise<Middleman> {
  const middleman = new Middleman(target);
  await middleman.listen();
  return middleman;
}

/** What {@link startMiddleman} starts. */
export class Middleman implements AsyncDisposable {
  endpoint = "";
  /** Calls that the server has answered, and the client was not told so. */
  lost = 0;
  /** Calls that the server was not shown. */
  swallowed = 0;
  /** Decides about each call that {@link next} does not. */
  treat: (method: string) => Treatment = () => pass;
  readonly #target: number;
  readonly #server: Http2Server = createServer();
  readonly #sessions = new Set<ServerHttp2Session>();
  /** One for all clients: what becomes of them does not disturb what was handed on. */
  #upstream: ClientHttp2Session | undefined;
  readonly #underWay = new Set<Promise<void>>();
  readonly #next = new Map<string, Treatment[]>();
  readonly #seen = new Map<string, number>();

  /** @internal Use {@link startMiddleman}. */
  constructor(target: number) {
    this.#target = target;
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("error", () => {}).once("close", () => this.#sessions.delete(session));
    });
    this.#server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      const method = String(headers[":path"]).replace("/etcdserverpb.", "");
      this.#seen.set(method, this.calls(method) + 1);
      const exchange = new Exchange(stream, headers, () => this.#connected());
      if (streams.has(method)) return exchange.pipe();
      const taken = this.#take(method, stream, exchange).finally(() => this.#underWay.delete(taken));
      this.#underWay.add(taken);
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.endpoint = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Has the next calls of `method` treated one after the other. */
  next(method: string, ...treatments: Treatment[]): void {
    this.#next.set(method, [...(this.#next.get(method) ?? []), ...treatments]);
  }

  /** How many calls of `method` have come in. */
  calls(method: string): number {
    return this.#seen.get(method) ?? 0;
  }

  /** Resolves when all that is to be done with the calls that have come in is done. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) session.destroy();
    this.#upstream?.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #connected(): ClientHttp2Session {
    if (this.#upstream === undefined || this.#upstream.closed || this.#upstream.destroyed) {
      this.#upstream = connect(`http://127.0.0.1:${this.#target}`).on("error", () => {});
    }
    return this.#upstream;
  }

  async #take(method: string, stream: ServerHttp2Stream, exchange: Exchange): Promise<void> {
    const { session } = stream;
    stream.on("data", (part: Buffer) => exchange.request.push(part));
    await Promise.race([once(stream, "end"), once(stream, "close")]).catch(() => {});
    if (!stream.readableEnded) return;
    const treatment = this.#next.get(method)?.shift() ?? this.treat(method);
    let answered = false;
    let forwarded: Promise<Uint8Array | undefined> | undefined;
    await treatment({
      method,
      forward: () => (forwarded ??= exchange.forward()),
      answer: () => {
        answered = true;
        exchange.answer();
      },
      cut: () => session?.destroy(),
    });
    if (forwarded === undefined) this.swallowed++;
    else if (!answered && (await forwarded) !== undefined) this.lost++;
  }
}

/** A call between its client and its server. */
class Exchange {
  readonly request: Buffer[] = [];
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #upstream: () => ClientHttp2Session;
  #response: IncomingHttpHeaders | undefined;
  #trailers: IncomingHttpHeaders | undefined;
  readonly #body: Buffer[] = [];

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, upstream: () => ClientHttp2Session) {
    this.#stream = stream;
    this.#headers = headers;
    this.#upstream = upstream;
  }

  async forward(): Promise<Uint8Array | undefined> {
    const sent = this.#upstream().request(this.#headers);
    sent.on("response", (headers) => (this.#response = headers));
    sent.on("trailers", (trailers) => (this.#trailers = trailers));
    sent.on("data", (part: Buffer) => this.#body.push(part));
    sent.on("error", () => {});
    sent.end(Buffer.concat(this.request));
    await once(sent, "close");
    const body = Buffer.concat(this.#body);
    // Of a message, gRPC tells first whether it is compressed, and how long it is.
    return body.length < 5 ? undefined : body.subarray(5);
  }

  answer(): void {
    const stream = this.#stream;
    if (stream.destroyed || this.#response === undefined) return;
    const trailers = this.#trailers;
    if (trailers === undefined) return stream.respond(this.#response, { endStream: true });
    stream.respond(this.#response, { waitForTrailers: true });
    stream.once("wantTrailers", () => stream.sendTrailers(trailers));
    stream.end(Buffer.concat(this.#body));
  }

  pipe(): void {
    const stream = this.#stream;
    const sent = this.#upstream().request(this.#headers);
    sent.on("error", () => {});
    let trailers: IncomingHttpHeaders = {};
    sent.on("trailers", (given) => (trailers = given));
    sent.on("response", (headers) => {
      if (stream.destroyed) return;
      stream.respond(headers, { waitForTrailers: true });
      stream.once("wantTrailers", () => stream.sendTrailers(trailers));
      sent.pipe(stream);
    });
    stream.pipe(sent);
    stream.once("close", () => sent.close());
    sent.once("close", () => stream.close());
  }
}
