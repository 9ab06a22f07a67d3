import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Proxy, startProxy } from "./proxy.ts";

describe("startProxy", () => {
  let echo: Server;
  let proxy: Proxy;
  const clients: Socket[] = [];

  beforeEach(async () => {
    echo = createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1");
    await once(echo, "listening");
    proxy = await startProxy((echo.address() as { port: number }).port);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await proxy[Symbol.asyncDispose]();
    echo.close();
    await once(echo, "close");
  });

  async function open(): Promise<Socket> {
    const client = connect(proxy.port, "127.0.0.1").on("error", () => {});
    clients.push(client);
    await once(client, "connect");
    return client;
  }

  /** Resolves when the connection is gone, also by an error. */
  async function close(client: Socket): Promise<void> {
    await new Promise((resolve) => client.once("close", resolve));
  }

  /** Resolves when the echo of `text` has come back. */
  async function roundTrip(client: Socket, text: string): Promise<void> {
    client.write(text);
    const [data] = (await once(client, "data")) as [Buffer];
    expect(data.toString()).toBe(text);
  }

  /** Resolves when whatever was under way on the other connections has arrived. */
  async function roundTripBeside(): Promise<void> {
    const client = connect((echo.address() as { port: number }).port, "127.0.0.1");
    clients.push(client);
    await roundTrip(client, "beside");
  }

  it("forwards both ways and counts", async () => {
    const [first, second] = [await open(), await open()];
    await roundTrip(first, "one");
    await roundTrip(second, "two");
    expect(proxy).toMatchObject({ endpoint: `http://127.0.0.1:${proxy.port}`, connections: 2, accepted: 2 });
    first.destroy();
    await vi.waitFor(() => expect(proxy.connections).toBe(1));
    expect(proxy.accepted).toBe(2);
  });

  it("resets connections and refuses new ones while it is cut, and serves again on the same port", async () => {
    const client = await open();
    await roundTrip(client, "before");
    const closed = close(client);
    await proxy.cut();
    await closed;
    await expect(once(connect(proxy.port, "127.0.0.1"), "connect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    expect(proxy.connections).toBe(0);
    await proxy.heal();
    await roundTrip(await open(), "after");
  });

  it("loses what is sent while it is a black hole, and resets those connections when it heals", async () => {
    const old = await open();
    await roundTrip(old, "before");
    proxy.blackhole();
    const young = await open();
    let received = "";
    for (const client of [old, young]) {
      client.on("data", (data: Buffer) => (received += data.toString()));
      client.write("lost");
    }
    const closed = Promise.all([close(old), close(young)]);
    // Both are still open once a third connection was accepted.
    await open();
    await vi.waitFor(() => expect(proxy.accepted).toBe(3));
    expect(proxy.connections).toBe(3);
    await proxy.heal();
    await closed;
    expect(received).toBe("");
    await roundTrip(await open(), "after");
  });

  it.each(["destroy", "resetAndDestroy"] as const)(
    "hides a client's %s from the far side of a black hole",
    async (end) => {
      let ended = 0;
      echo.on("connection", (socket: Socket) => socket.once("close", () => ended++));
      const client = await open();
      await roundTrip(client, "before");
      proxy.blackhole();
      client[end]();
      await roundTripBeside();
      expect(ended).toBe(0);
      await proxy.heal();
      await vi.waitFor(() => expect(ended).toBe(1));
    },
  );

  it("ends a connection whose far side refuses", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, "close");
    await using dead = await startProxy(port);
    const client = connect(dead.port, "127.0.0.1").on("error", () => {});
    await close(client);
    await vi.waitFor(() => expect(dead.connections).toBe(0));
  });
});
