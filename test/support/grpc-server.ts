/** A server that speaks gRPC in one process with the test, and answers, or fails to, as the test says. */
import { once } from "node:events";
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";

/** One call that has come in with its whole first message. */
export interface IncomingCall {
  readonly path: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly message: Buffer;
  readonly stream: ServerHttp2Stream;
  /** Sends a message, and the status where one is given. */
  readonly answer: (message: Uint8Array | undefined, status?: number, details?: string) => void;
}

/** Options of {@link startGrpcServer}. */
export interface GrpcServerOptions {
  readonly host?: string;
  readonly tls?: SecureServerOptions;
  /** Sees a stream before its message does, and may refuse it by returning true. */
  readonly refuse?: (stream: ServerHttp2Stream) => boolean;
  readonly call: (call: IncomingCall) => void;
}

/** Starts a server on a free port. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const { host = "127.0.0.1", tls } = options;
  const server = tls === undefined ? createServer() : createSecureServer(tls);
  const started = new GrpcServer(server, options);
  server.listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  started.port = port;
  started.endpoint = `${tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
  return started;
}

/** What {@link startGrpcServer} starts. */
export class GrpcServer implements AsyncDisposable {
  port = 0;
  endpoint = "";
  readonly sessions: Set<ServerHttp2Session> = new Set<ServerHttp2Session>();
  readonly #server: Http2Server;

  /** @internal Use {@link startGrpcServer}. */
  constructor(server: Http2Server, { refuse, call }: GrpcServerOptions) {
    this.#server = server;
    server.on("session", (session) => {
      this.sessions.add(session);
      session.on("error", () => {}).once("close", () => this.sessions.delete(session));
    });
    server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      if (refuse?.(stream) === true) return;
      let received = Buffer.alloc(0);
      stream.on("data", (part: Buffer) => {
        const before = received.length;
        received = Buffer.concat([received, part]);
        const whole = (length: number): boolean => length >= 5 && length >= 5 + received.readUInt32BE(1);
        if (whole(before) || !whole(received.length)) return;
        const message = received.subarray(5, 5 + received.readUInt32BE(1));
        call({ path: String(headers[":path"]), headers, message, stream, answer: answerOn(stream) });
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions) session.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

function answerOn(stream: ServerHttp2Stream): IncomingCall["answer"] {
  return (message, status, details = "") => {
    if (stream.destroyed || stream.closed) return;
    if (!stream.headersSent) {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    }
    if (message !== undefined) {
      const frame = Buffer.alloc(5 + message.length);
      frame.writeUInt32BE(message.length, 1);
      frame.set(message, 5);
      stream.write(frame);
    }
    if (status === undefined) return;
    stream.once("wantTrailers", () => {
      stream.sendTrailers({ "grpc-status": String(status), "grpc-message": encodeURIComponent(details) });
    });
    stream.end();
  };
}
