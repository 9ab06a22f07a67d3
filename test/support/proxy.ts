/** A TCP proxy in front of one port, that can be cut or turned into a black hole: a network that fails on demand. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { freePorts } from "./ports.ts";

/** Starts a proxy on a free port of 127.0.0.1 in front of `target`, a port of 127.0.0.1. */
export async function startProxy(target: number): Promise<Proxy> {
  const [port] = await freePorts(1);
  const proxy = new Proxy(port as number, target);
  await proxy.heal();
  return proxy;
}

/** What {@link startProxy} starts. */
export class Proxy implements AsyncDisposable {
  readonly port: number;
  /** Where clients connect to: `http://127.0.0.1:port`. */
  readonly endpoint: string;
  /** How many connections were accepted so far. */
  accepted = 0;
  readonly #target: number;
  readonly #clients = new Set<Socket>();
  readonly #upstreams = new Set<Socket>();
  /** Listening, except while the proxy is cut. */
  #server: Server | undefined;
  #swallowing = false;

  /** @internal Use {@link startProxy}. */
  constructor(port: number, target: number) {
    this.port = port;
    this.endpoint = `http://127.0.0.1:${port}`;
    this.#target = target;
  }

  /** How many connections clients have open. */
  get connections(): number {
    return this.#clients.size;
  }

  /** Resets every connection and refuses new ones. */
  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.#resetAll();
    if (server === undefined) return;
    server.close();
    await once(server, "close");
  }

  /**
   * From now on, connections stay open and new ones are accepted, but what either side sends is lost, and so is the
   * end of a connection.
   */
  blackhole(): void {
    this.#swallowing = true;
    for (const socket of this.#sockets()) swallow(socket);
  }

  /** Forwards again. Connections that a black hole took bytes from are reset: they could only go on corrupted. */
  async heal(): Promise<void> {
    if (this.#swallowing) this.#resetAll();
    this.#swallowing = false;
    if (this.#server !== undefined) return;
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
    this.#server.listen(this.port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  /** Resets every connection and stops listening. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.cut();
  }

  #accept(client: Socket): void {
    this.accepted++;
    adopt(client, this.#clients);
    if (this.#swallowing) return swallow(client);
    const upstream = connect({ port: this.#target, host: "127.0.0.1", allowHalfOpen: true });
    adopt(upstream, this.#upstreams);
    client.pipe(upstream);
    upstream.pipe(client);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.once("close", () => {
        if (!this.#swallowing) other.resetAndDestroy();
      });
    }
  }

  #resetAll(): void {
    for (const socket of this.#sockets()) socket.resetAndDestroy();
  }

  #sockets(): Socket[] {
    return [...this.#clients, ...this.#upstreams];
  }
}

function adopt(socket: Socket, into: Set<Socket>): void {
  into.add(socket);
  socket.setNoDelay(true);
  // What goes wrong with a connection shows in its end.
  socket.on("error", () => {}).once("close", () => into.delete(socket));
}

function swallow(socket: Socket): void {
  socket.unpipe().resume();
}
