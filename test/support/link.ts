/** One direction of a network between two parties: its connections are forwarded, swallowed or refused. */
import { connect, type Socket } from "node:net";
import { Transform } from "node:stream";

/** Every connection made over it is forwarded to one port, as long as the link is well. */
export class Link {
  /** How many connections were accepted so far, and how many of them reset at once. */
  accepted = 0;
  refused = 0;
  /** How many bytes were lost in a black hole. */
  swallowed = 0;
  /** How long each piece of what is sent takes, one after the other, both ways. */
  delayMs = 0;
  readonly #target: number;
  readonly #clients = new Set<Socket>();
  readonly #upstreams = new Set<Socket>();
  #state: "open" | "cut" | "blackhole" = "open";

  /** Leads to `target`, a port of 127.0.0.1. */
  constructor(target: number) {
    this.#target = target;
  }

  /** How many connections clients have open. */
  get connections(): number {
    return this.#clients.size;
  }

  /** Takes over a connection. `head` is what was read of it already. */
  accept(client: Socket, head?: Buffer): void {
    this.accepted++;
    if (this.#state === "cut") {
      this.refused++;
      client.on("error", () => {}).resetAndDestroy();
      return;
    }
    adopt(client, this.#clients);
    if (this.#state === "blackhole") return this.#swallow(client, head);
    const upstream = connect({ port: this.#target, host: "127.0.0.1", allowHalfOpen: true });
    adopt(upstream, this.#upstreams);
    if (head !== undefined) upstream.write(head);
    client.pipe(this.#slowly()).pipe(upstream);
    upstream.pipe(this.#slowly()).pipe(client);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.once("close", () => {
        if (this.#state !== "blackhole") other.resetAndDestroy();
      });
    }
  }

  /** Resets every connection, and from now on each new one. */
  cut(): void {
    this.#state = "cut";
    this.#resetAll();
  }

  /** From now on connections stay open, but what either side sends is lost, and so is the end of a connection. */
  blackhole(): void {
    this.#state = "blackhole";
    for (const socket of [...this.#clients, ...this.#upstreams]) this.#swallow(socket);
  }

  /** Forwards again, at once. Connections that a black hole took bytes from are reset: they could only go on corrupted. */
  heal(): void {
    if (this.#state === "blackhole") this.#resetAll();
    this.#state = "open";
    this.delayMs = 0;
  }

  #slowly(): Transform {
    return new Transform({
      transform: (piece: Buffer, _encoding, done) => {
        if (this.delayMs === 0) done(null, piece);
        else setTimeout(done, this.delayMs, null, piece);
      },
    });
  }

  #resetAll(): void {
    for (const socket of [...this.#clients, ...this.#upstreams]) socket.resetAndDestroy();
  }

  #swallow(socket: Socket, head?: Buffer): void {
    this.swallowed += head?.length ?? 0;
    socket
      .unpipe()
      .on("data", (data) => (this.swallowed += data.length))
      .resume();
  }
}

function adopt(socket: Socket, into: Set<Socket>): void {
  into.add(socket);
  socket.setNoDelay(true);
  // What goes wrong with a connection shows in its end.
  socket.on("error", () => {}).once("close", () => into.delete(socket));
}
