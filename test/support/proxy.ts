/** A TCP proxy in front of one port, that can be cut or turned into a black hole: a network that fails on demand. */
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { Link } from "./link.ts";
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
  readonly #link: Link;
  /** Listening, except while the proxy is cut. */
  #server: Server | undefined;

  /** @internal Use {@link startProxy}. */
  constructor(port: number, target: number) {
    this.port = port;
    this.endpoint = `http://127.0.0.1:${port}`;
    this.#link = new Link(target);
  }

  /** How many connections were accepted so far. */
  get accepted(): number {
    return this.#link.accepted;
  }

  /** How many connections clients have open. */
  get connections(): number {
    return this.#link.connections;
  }

  /** How many bytes were lost in a black hole. */
  get swallowed(): number {
    return this.#link.swallowed;
  }

  /** Resets every connection and refuses new ones. */
  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.#link.cut();
    if (server === undefined) return;
    server.close();
    await once(server, "close");
  }

  /**
   * From now on, connections stay open and new ones are accepted, but what either side sends is lost, and so is the
   * end of a connection.
   */
  blackhole(): void {
    this.#link.blackhole();
  }

  /** From now on each piece of what either side sends takes so long, one after the other. */
  slow(delayMs: number): void {
    this.#link.delayMs = delayMs;
  }

  /** Forwards again, at once. Connections that a black hole took bytes from are reset: they could only go on corrupted. */
  async heal(): Promise<void> {
    this.#link.heal();
    if (this.#server !== undefined) return;
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#link.accept(client));
    this.#server.listen(this.port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  /** Resets every connection and stops listening. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.cut();
  }
}
