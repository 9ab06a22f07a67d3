import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { PeerProxy } from "./peer-proxy.ts";
import { freePorts } from "./ports.ts";

describe("PeerProxy", () => {
  let echo: Server;
  let proxy: PeerProxy;
  const clients: Socket[] = [];

  beforeEach(async () => {
    echo = createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1");
    await once(echo, "listening");
    proxy = new PeerProxy((await freePorts(1))[0]!, (echo.address() as { port: number }).port);
    await proxy.listen();
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await proxy[Symbol.asyncDispose]();
    echo.close();
    await once(echo, "close");
  });

  /** A connection that has sent a request of the member `from`, or of nobody. */
  async function dial(from?: string): Promise<Socket> {
    const client = connect(proxy.port, "127.0.0.1").on("error", () => {});
    clients.push(client);
    await once(client, "connect");
    client.write(request(from));
    return client;
  }

  function request(from?: string): string {
    return `GET /raft HTTP/1.1\r\nHost: x\r\n${from === undefined ? "" : `X-Server-From: ${from}\r\n`}\r\n`;
  }

  /** Resolves when the connection is gone, also by an error. */
  async function close(client: Socket): Promise<void> {
    await new Promise((resolve) => client.once("close", resolve));
  }

  async function echoed(client: Socket): Promise<string> {
    const [data] = (await once(client, "data")) as [Buffer];
    return data.toString();
  }

  it("forwards all that is sent, from the first byte on", async () => {
    expect(await echoed(await dial("ab"))).toBe(request("ab"));
    expect(await echoed(await dial())).toBe(request());
    expect(proxy.from("ab").connections).toBe(1);
  });

  it("cuts off one member, and not the other", async () => {
    const [one, other] = [await dial("ab"), await dial("cd")];
    await Promise.all([echoed(one), echoed(other)]);
    proxy.from("ab").cut();
    await close(one);
    await close(await dial("ab"));
    expect(proxy.from("ab").refused).toBe(1);
    other.write("still here");
    expect(await echoed(other)).toBe("still here");
    proxy.from("ab").heal();
    expect(await echoed(await dial("ab"))).toBe(request("ab"));
  });

  it("swallows what one member sends", async () => {
    proxy.from("ab").blackhole();
    await dial("ab");
    await vi.waitFor(() => expect(proxy.from("ab").swallowed).toBe(request("ab").length));
  });

  it("ends with connections that have said nothing", async () => {
    const silent = connect(proxy.port, "127.0.0.1").on("error", () => {});
    clients.push(silent);
    await once(silent, "connect");
    const ended = connect(proxy.port, "127.0.0.1").on("error", () => {});
    await once(ended, "connect");
    ended.end();
    await close(ended);
    await proxy[Symbol.asyncDispose]();
    expect(silent.destroyed || (await close(silent))).not.toBe(false);
  });

  it("meets a connection anew when it turns out to be a member's", async () => {
    const client = await dial();
    await echoed(client);
    client.write(request("ab"));
    await close(client);
  });
});
