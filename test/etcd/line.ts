/**
 * A TCP line to a server that can be held: what the far side sends is kept back, in order, until it is released. It can
 * also be led to another server, as an address that moves.
 *
 * A keyspace has two connections to a member: the first is the one of its calls, the second that of its streams, since
 * it reads before it watches. A range of more than one page has one for the others, before that of the streams.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

interface Connection {
  readonly client: Socket;
  readonly upstream: Socket;
}

export async function startLine(target: number): Promise<Line> {
  const line = new Line(target);
  await line.listen();
  return line;
}

export class Line implements AsyncDisposable {
  /** The port that is led to, for connections from now on. */
  target: number;
  endpoint = "";
  readonly #server: Server = createServer((client) => this.#accept(client));
  /** All that are open, oldest first. */
  #connections: Connection[] = [];
  #refusing = false;

  constructor(target: number) {
    this.target = target;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.endpoint = `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** How many connections are open. */
  get connections(): number {
    return this.#connections.length;
  }

  /** Keeps back what the server sends on one connection, counted from the oldest that is open. */
  hold(index: number): void {
    this.#connection(index).upstream.pause();
  }

  release(index: number): void {
    this.#connection(index).upstream.resume();
  }

  /** Resets all connections, and new ones as they come. */
  refuse(): void {
    this.#refusing = true;
    this.reset();
  }

  /** Accepts connections again. */
  accept(): void {
    this.#refusing = false;
  }

  /** Resets one connection, or all. New ones are accepted. */
  reset(index?: number): void {
    const connections = index === undefined ? this.#connections : [this.#connection(index)];
    for (const { client } of connections) client.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.reset();
    await once(this.#server, "close");
  }

  #connection(index: number): Connection {
    const connection = this.#connections[index];
    if (connection === undefined) throw new Error(`there is no connection ${index}`);
    return connection;
  }

  #accept(client: Socket): void {
    if (this.#refusing) {
      client.on("error", () => {}).resetAndDestroy();
      return;
    }
    const upstream = connect(this.target, "127.0.0.1");
    const connection = { client, upstream };
    this.#connections.push(connection);
    // Not by pipe(), which resumes on its own.
    client.on("data", (data) => upstream.write(data));
    upstream.on("data", (data) => client.write(data));
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.setNoDelay(true).on("error", () => {});
      one.once("close", () => {
        other.destroy();
        this.#connections = this.#connections.filter((open) => open !== connection);
      });
    }
  }
}
