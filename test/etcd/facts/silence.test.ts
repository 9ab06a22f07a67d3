import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { parseEndpoints } from "../../../src/etcd/endpoint.ts";
import { range, watch as watchMethod } from "../../../src/etcd/proto/methods.ts";
import { connect, type ConnectOptions, type Transport, TransportError } from "../../../src/etcd/transport.ts";
import { startGrpcServer } from "../../support/grpc-server.ts";
import { observe } from "../../support/promises.ts";
import { raw } from "../store.ts";

const request = { key: raw("key") };

describe("a server that is silent", () => {
  const transports: Transport[] = [];
  afterEach(() => {
    for (const transport of transports.splice(0)) transport.close();
  });

  function open(endpoint: string, options?: ConnectOptions): Transport {
    const transport = connect(parseEndpoints(endpoint, false)[0], options);
    transports.push(transport);
    return transport;
  }

  test("and takes connections, as a frozen one does, fails calls and streams when connecting has taken too long", async () => {
    const sockets: Socket[] = [];
    const frozen = createServer((socket) => void sockets.push(socket.on("error", () => {}))).listen(0, "127.0.0.1");
    await once(frozen, "listening");
    try {
      const { port } = frozen.address() as AddressInfo;
      const transport = open(`http://127.0.0.1:${port}`, { connectTimeoutMs: 200 });
      const call = observe(transport.unary(range, request));
      const ends: TransportError[] = [];
      transport.duplex(watchMethod, { message: () => {}, end: (error) => ends.push(error) });
      const expected = { details: "no connection within 200 ms", maybeSent: false };
      await vi.waitFor(() => expect(call()).toMatchObject({ state: "rejected", reason: expected }), { timeout: 2000 });
      await vi.waitFor(() => expect(ends).toMatchObject([expected]), { timeout: 2000 });
      expect(sockets).toHaveLength(2);
    } finally {
      for (const socket of sockets) socket.destroy();
      frozen.close();
    }
  });

  test("and has taken a call fails it at its deadline", async () => {
    await using server = await startGrpcServer({ call: () => {} });
    const call = observe(open(server.endpoint).unary(range, request, { deadlineMs: 200 }));
    await vi.waitFor(
      () => expect(call()).toMatchObject({ state: "rejected", reason: { status: 4, maybeSent: true } }),
      { timeout: 2000 },
    );
  });
});
