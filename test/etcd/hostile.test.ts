/**
 * Servers that break every rule of the protocol, each at its own layer. A keyspace takes them for what passes: gets
 * wait, the status tells, nothing is thrown past anybody; and where a store is there at last, all is well.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { etcdAvailable } from "../support/etcd.ts";
import { type GrpcServer, type IncomingCall, startGrpcServer } from "../support/grpc-server.ts";
import { inChild } from "./child.ts";
import { type Line, startLine } from "./line.ts";
import { freshPrefix, useEtcd } from "./store.ts";

/** An HTTP/2 frame. */
function frame(type: number, payload: Uint8Array, { stream = 0, flags = 0, length = payload.length } = {}): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

const settings = frame(4, new Uint8Array(0));
const noise = Buffer.from(Array.from({ length: 2000 }, (_unused, i) => (i * 151 + 7) % 256));

/** What a server does with a connection. */
const connections: Readonly<Record<string, (socket: Socket) => void>> = {
  "resets at once": (socket) => socket.resetAndDestroy(),
  "closes at once": (socket) => socket.end(),
  "sends noise": (socket) => socket.write(noise),
  "speaks HTTP/1.1": (socket) => socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
  "resets after its settings": (socket) => socket.write(settings, () => socket.resetAndDestroy()),
  "sends noise after its settings": (socket) => socket.write(Buffer.concat([settings, noise])),
  "sends half of its settings": (socket) => socket.write(settings.subarray(0, 5)),
  "sends a frame that is too big": (socket) =>
    socket.write(Buffer.concat([settings, frame(0, noise, { stream: 1, length: 0xffffff })])),
  "goes away at once": (socket) => socket.write(Buffer.concat([settings, frame(7, Buffer.alloc(8))])),
  "goes away for too many pings": (socket) =>
    socket.write(
      Buffer.concat([settings, frame(7, Buffer.from([0, 0, 0, 0, 0, 0, 0, 11, ...Buffer.from("too_many_pings")]))]),
    ),
  "sends data of a stream that nobody opened": (socket) =>
    socket.write(Buffer.concat([settings, frame(0, noise, { stream: 77 })])),
  "sends headers that cannot be decompressed": (socket) =>
    socket.write(Buffer.concat([settings, frame(1, noise.subarray(0, 50), { stream: 1, flags: 4 })])),
};

/** What a server that speaks HTTP/2 does with a call. */
const calls: Readonly<Record<string, (call: IncomingCall) => void>> = {
  "ends an answer without trailers": ({ stream }) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.end();
  },
  "tells a status that does not exist": ({ answer }) => answer(undefined, 4711, "who knows"),
  "says that all is well, and nothing more": ({ answer }) => answer(undefined, 0),
  "answers what cannot be decoded": ({ answer }) => answer(noise, 0),
  "answers part of a message": ({ stream }) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.end(Buffer.from([0, 0, 0, 1, 0, 10]));
  },
  "announces a message of 4 GB": ({ stream }) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.end(Buffer.from([0, 255, 255, 255, 255, 10]));
  },
  "answers in a compression that it did not announce": ({ stream }) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.end(Buffer.from([1, 0, 0, 0, 2, 10, 99]));
  },
  "is a web server": ({ stream }) => {
    stream.respond({ ":status": 200, "content-type": "text/html" });
    stream.end("<html></html>");
  },
  "resets each call": ({ stream }) => stream.close(2),
  "refuses each call": ({ stream }) => stream.close(7),
  "breaks the connection at each call": ({ stream }) => stream.session?.destroy(),
  "goes away at each call": ({ stream }) => stream.session?.goaway(),
};

describe.skipIf(!etcdAvailable)("a server", () => {
  const server = useEtcd();
  const hostile: { readonly close: () => void }[] = [];
  afterAll(() => {
    for (const each of hostile) each.close();
  });

  async function listen(accept: (socket: Socket) => void): Promise<number> {
    const sockets = new Set<Socket>();
    const listening: Server = createServer((socket) => {
      sockets.add(socket.on("error", () => {}));
      accept(socket);
    });
    listening.listen(0, "127.0.0.1");
    await once(listening, "listening");
    hostile.push({
      close: () => {
        listening.close();
        for (const socket of sockets) socket.destroy();
      },
    });
    return (listening.address() as AddressInfo).port;
  }

  /** Hands on what the store says, until so many bytes have come; then does the other thing. */
  function after(count: number, then: (socket: Socket, rest: Buffer) => void): (socket: Socket) => void {
    return (socket) => {
      const upstream = connect(server.etcd.port, "127.0.0.1");
      let left = count;
      socket.on("data", (data) => upstream.write(data)).on("close", () => upstream.destroy());
      upstream.on("error", () => {}).on("close", () => socket.destroy());
      upstream.on("data", (data) => {
        const good = data.subarray(0, left);
        left -= good.length;
        if (good.length > 0) socket.write(good);
        if (good.length < data.length) then(socket, data.subarray(good.length));
      });
    };
  }

  const all: [string, Promise<Line>, () => number][] = [];
  beforeAll(async () => {
    const add = async (name: string, behave: (seen: () => void) => Promise<number>): Promise<void> => {
      let seen = 0;
      const port = await behave(() => seen++);
      all.push([name, startLine(port), () => seen]);
    };
    const behaviours = { ...connections };
    for (const count of [1, 9, 20, 40, 80, 150, 300, 600]) {
      behaviours[`resets after ${count} bytes`] = after(count, (socket) => socket.resetAndDestroy());
      behaviours[`garbles what comes after ${count} bytes`] = after(count, (socket, rest) => {
        socket.write(rest.map((byte) => byte ^ 0x55));
      });
    }
    for (const [name, behave] of Object.entries(behaviours)) {
      await add(name, (seen) =>
        listen((socket) => {
          seen();
          behave(socket);
        }),
      );
    }
    for (const [name, behave] of Object.entries(calls)) {
      await add(name, async (seen) => {
        const speaking: GrpcServer = await startGrpcServer({
          call: (call) => {
            seen();
            behave(call);
          },
        });
        hostile.push({ close: () => void speaking[Symbol.asyncDispose]() });
        return speaking.port;
      });
    }
  });

  test("K9 that breaks the rules is no etcd yet: gets wait, and nothing is thrown past anybody", async () => {
    const lines = await Promise.all(all.map(([, line]) => line));
    const child = inChild(
      async ({ core, etcd, endpoint, prefix }) => {
        const outcomes = endpoint.split(",").map(async (endpoints, i) => {
          const keyspace = new etcd.EtcdKeyspace({
            endpoints,
            namespace: `${prefix}${i}/`,
            connectTimeoutMs: 300,
            requestTimeoutMs: 1000,
            staleAfterMs: 3000,
          });
          // What hangs is told, and not just that something does.
          const signal = AbortSignal.timeout(25_000);
          let doing = "the first get";
          try {
            const value = keyspace.value("key", core.text, { default: "none" });
            const [watcher, status] = [value.watch(), keyspace.status.watch()];
            const [first, read] = await Promise.all([watcher.get({ signal }), value.read({ signal })]);
            doing = "the status";
            const live = await status.get({ filter: ({ state }) => state === "live", signal });
            doing = "the second get";
            const next = watcher.get({ signal });
            // A write may have been under way when the connection broke.
            while (
              await value.set("1", { signal }).then(
                () => false,
                (error: unknown) => {
                  if (!core.isEventValueError(error, "EV_UNAVAILABLE")) throw error;
                  return true;
                },
              )
            );
            return [first, read, live.state, await next];
          } catch (error) {
            return `${doing}: ${String(error)}`;
          } finally {
            await keyspace.close();
          }
        });
        return Promise.all(outcomes);
      },
      { endpoint: lines.map(({ endpoint }) => endpoint).join(","), prefix: freshPrefix() },
      { timeoutMs: 30_000 },
    );
    // Each has been tried a few times, but for those that let some calls pass.
    await vi
      .waitFor(
        () => {
          const untried = all
            .filter(([name, , seen]) => seen() < (/[36]00 bytes/.test(name) ? 1 : 3))
            .map(([name]) => name);
          expect(untried).toEqual([]);
        },
        { timeout: 15_000 },
      )
      .finally(() => {
        for (const line of lines) {
          line.target = server.etcd.port;
          line.reset();
        }
      });
    const { result, stderr, exitCode, hung } = await child;
    for (const line of lines) await line[Symbol.asyncDispose]();
    // grpc-js has a word of its own for those who say that they are asked too often.
    const words = stderr.replace(/^E Connection to .* excess pings\. .*\n/gm, "");
    expect({ stderr: words, exitCode, hung }).toEqual({ stderr: "", exitCode: 0, hung: false });
    expect(Object.fromEntries((result as unknown[]).map((outcome, i) => [all[i]![0], outcome]))).toEqual(
      Object.fromEntries(all.map(([name]) => [name, ["none", null, "live", "1"]])),
    );
  });
});
