/**
 * The way to one member of a cluster from the others, with a link from each of them: what partitions are made of.
 *
 * All of them dial one port. Who it is a member tells in the first request of nearly every connection, by the header
 * `X-Server-From`; only those that ask how long a round trip takes do not, and are reused for others that do.
 */
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { Link } from "./link.ts";

/** A link that has no name is of connections that have not said whose they are. */
const unknown = "";

export class PeerProxy implements AsyncDisposable {
  /** Where the other members connect to. */
  readonly port: number;
  readonly #target: number;
  readonly #links = new Map<string, Link>();
  /** Connections that have not sent anything yet. */
  readonly #silent = new Set<Socket>();
  #server: Server | undefined;

  constructor(port: number, target: number) {
    this.port = port;
    this.#target = target;
  }

  async listen(): Promise<void> {
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#meet(client));
    this.#server.listen(this.port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  /** The link from the member of this id, in hexadecimal. */
  from(id: string): Link {
    let link = this.#links.get(id);
    if (link === undefined) this.#links.set(id, (link = new Link(this.#target)));
    return link;
  }

  /** Resets every connection and stops listening. */
  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const link of this.#links.values()) link.cut();
    for (const client of this.#silent) client.destroy();
    if (server === undefined) return;
    server.close();
    await once(server, "close");
  }

  #meet(client: Socket): void {
    this.#silent.add(client);
    client.on("error", () => {}).once("close", () => this.#silent.delete(client));
    // Half-open is for what is forwarded.
    client.once("end", () => this.#silent.has(client) && client.destroy());
    client.once("data", (head) => {
      this.#silent.delete(client);
      client.pause();
      const id = nameIn(head);
      if (id !== undefined) return this.from(id).accept(client, head);
      this.from(unknown).accept(client, head);
      // Reused by a request that has a name, it is reset where that has no way; the next one is met anew.
      client.on("data", (data) => {
        if (nameIn(data) !== undefined) client.resetAndDestroy();
      });
    });
  }
}

function nameIn(data: Buffer): string | undefined {
  return /^x-server-from: *([0-9a-f]+)\r?$/im.exec(data.toString("latin1"))?.[1];
}
