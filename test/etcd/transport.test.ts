import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { constants } from "node:http2";
import { type AddressInfo, connect as connectTcp, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { parseEndpoints } from "../../src/etcd/endpoint.ts";
import type { WatchMessage } from "../../src/etcd/proto/hot-decoders.ts";
import * as rpc from "../../src/etcd/proto/methods.ts";
import {
  connect,
  type ConnectOptions,
  type Duplex,
  type Method,
  type Transport,
  TransportError,
} from "../../src/etcd/transport.ts";
import { makeAuthority, makeCertificate } from "../support/certificates.ts";
import { etcdAvailable, type EtcdServer, startEtcd } from "../support/etcd.ts";
import * as generated from "../support/generated/etcd.ts";
import { type GrpcServer, type IncomingCall, startGrpcServer } from "../support/grpc-server.ts";
import { freePorts } from "../support/ports.ts";
import { observe, rejection, turn, until } from "../support/promises.ts";
import { startProxy } from "../support/proxy.ts";
import { Random, seed } from "../support/seed.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const key = utf8("key");

const transports: Transport[] = [];
afterEach(() => {
  for (const transport of transports.splice(0)) transport.close();
});

/** A transport that is closed after the test. */
function open(endpoint: string, options: ConnectOptions = {}): Transport {
  const transport = connect(parseEndpoints(endpoint, options.tls !== undefined)[0], options);
  transports.push(transport);
  return transport;
}

/** What `promise` failed with, which must be a TransportError. */
async function failure(promise: Promise<unknown>): Promise<TransportError> {
  const error = await rejection(promise);
  expect(error).toBeInstanceOf(TransportError);
  return error as TransportError;
}

interface Watching {
  readonly messages: WatchMessage[];
  readonly ends: TransportError[];
  readonly duplex: Duplex<Parameters<typeof rpc.watch.encode>[0]>;
}

/** Opens a watch stream that notes what it is told, and asks for one watch of all keys. */
function watchAll(transport: Transport): Watching {
  const messages: WatchMessage[] = [];
  const ends: TransportError[] = [];
  const duplex = transport.duplex(rpc.watch, { message: (m) => messages.push(m), end: (e) => ends.push(e) });
  const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0), filters: [] };
  duplex.send({ requestUnion: { $case: "createRequest", value: all } });
  return { messages, ends, duplex };
}

/** The bytes of a range response that holds nothing. */
const nothing = generated.RangeResponse.encode({ header: undefined, kvs: [], more: false, count: 0 }).finish();

describe.skipIf(!etcdAvailable)("a transport to a real server", () => {
  let etcd: EtcdServer;
  beforeAll(async () => {
    etcd = await startEtcd();
  });
  afterAll(() => etcd[Symbol.asyncDispose]());

  test("writes what the server's own gateway reads, and reads it back", async () => {
    const transport = open(etcd.endpoint);
    const lease = await transport.unary(rpc.leaseGrant, { ttl: 600 });
    expect(lease).toMatchObject({ ttl: 600, error: "" });
    expect(lease.id).toMatch(/^\d{16,}$/);
    const { header } = await transport.unary(rpc.put, { key, value: utf8("value"), lease: lease.id });
    expect(await etcd.call("/v3/kv/range", { key: Buffer.from(key).toString("base64") })).toMatchObject({
      header: { cluster_id: header?.clusterId, member_id: header?.memberId, revision: `${header?.revision}` },
      kvs: [{ value: Buffer.from("value").toString("base64"), mod_revision: `${header?.revision}`, lease: lease.id }],
      count: "1",
    });
    const range = await transport.unary(rpc.range, { key });
    expect(range).toMatchObject({ header, more: false, count: 1 });
    expect(range.kvs).toEqual([
      {
        key: "key",
        rawKey: undefined,
        value: utf8("value"),
        createRevision: header?.revision,
        modRevision: header?.revision,
        version: 1,
        lease: lease.id,
      },
    ]);
    expect(await transport.unary(rpc.leaseTimeToLive, { id: lease.id, keys: true })).toMatchObject({
      grantedTtl: 600,
      keys: [Buffer.from(key)],
    });
    await transport.unary(rpc.leaseRevoke, { id: lease.id });
    expect(await transport.unary(rpc.range, { key })).toMatchObject({ kvs: [], count: 0 });
  });

  test("compares and writes in one transaction", async () => {
    const transport = open(etcd.endpoint);
    const { header } = await transport.unary(rpc.put, { key, value: utf8("1") });
    const writeIf = (modRevision: number): Promise<unknown> =>
      transport.unary(rpc.txn, {
        compare: [{ target: 2, key, targetUnion: { $case: "modRevision", value: modRevision } }],
        success: [{ request: { $case: "requestPut", value: { key, value: utf8("2"), prevKv: true } } }],
        failure: [{ request: { $case: "requestRange", value: { key } } }],
      });
    expect(await writeIf((header?.revision ?? 0) + 1)).toMatchObject({
      succeeded: false,
      responses: [{ response: { $case: "responseRange", value: { count: 1 } } }],
    });
    expect(await writeIf(header?.revision ?? 0)).toMatchObject({
      succeeded: true,
      responses: [{ response: { $case: "responsePut", value: { prevKv: { value: Buffer.from("1") } } } }],
    });
    expect(await transport.unary(rpc.deleteRange, { key })).toMatchObject({ deleted: 1 });
  });

  test("tells about the server", async () => {
    const transport = open(etcd.endpoint);
    expect(await transport.unary(rpc.status, {})).toMatchObject({
      version: etcd.version,
      errors: [],
      isLearner: false,
    });
    expect((await transport.unary(rpc.memberList, {})).members).toMatchObject([
      { name: etcd.name, clientUrls: [etcd.endpoint] },
    ]);
  });

  test("streams events to a watch, and answers to keepalives", async () => {
    const transport = open(etcd.endpoint);
    const { messages, ends, duplex } = watchAll(transport);
    await until(() => messages.length === 1);
    expect(messages[0]).toMatchObject({ created: true, watchId: 0, events: [] });
    const odd = Uint8Array.of(255, 107);
    await transport.unary(rpc.put, { key: odd, value: utf8("v") });
    await until(() => messages.length === 2);
    expect(messages[1]?.events).toMatchObject([
      { type: "put", key: "\uFFFDk", rawKey: odd, value: utf8("v"), version: 1 },
    ]);
    await transport.unary(rpc.deleteRange, { key: odd });
    await until(() => messages.length === 3);
    expect(messages[2]?.events).toMatchObject([{ type: "delete", rawKey: odd, value: new Uint8Array(0), version: 0 }]);
    duplex.close();

    const { id } = await transport.unary(rpc.leaseGrant, { ttl: 600 });
    const answers: unknown[] = [];
    const alive = transport.duplex(rpc.leaseKeepAlive, { message: (m) => answers.push(m), end: (e) => ends.push(e) });
    alive.send({ id });
    await until(() => answers.length === 1);
    expect(answers).toMatchObject([{ id, ttl: 600 }]);
    alive.close();
    expect(ends).toEqual([]);
  });

  test("fails with the server's status and text", async () => {
    const transport = open(etcd.endpoint);
    expect(await failure(transport.unary(rpc.put, { key: utf8("") }))).toMatchObject({
      status: 3,
      details: "etcdserver: key is not provided",
      endpoint: etcd.endpoint,
      maybeSent: true,
    });
    expect(await failure(transport.unary(rpc.range, { key, revision: 1_000_000 }))).toMatchObject({
      status: 11,
      details: "etcdserver: mvcc: required revision is a future revision",
    });
    expect(await failure(transport.unary(rpc.leaseRevoke, { id: "7" }))).toMatchObject({
      status: 5,
      details: "etcdserver: requested lease not found",
    });
    expect(await failure(transport.unary(rpc.put, { key, value: new Uint8Array(3_000_000) }))).toMatchObject({
      details: expect.stringMatching(/too large|larger than max/) as string,
    });
  });

  test("connects when it is used, once for streams and once for calls", async () => {
    await using proxy = await startProxy(etcd.port);
    const transport = open(proxy.endpoint);
    expect(proxy.accepted).toBe(0);
    await transport.unary(rpc.range, { key });
    await Promise.all(Array.from({ length: 10 }, () => transport.unary(rpc.range, { key })));
    expect(proxy.accepted).toBe(1);
    const { messages } = watchAll(transport);
    const other = watchAll(transport);
    await until(() => messages.length > 0 && other.messages.length > 0);
    expect(proxy.accepted).toBe(2);
  });

  test("resolves names itself, whatever the environment says about a proxy", async () => {
    vi.stubEnv("http_proxy", "http://127.0.0.1:1").stubEnv("grpc_proxy", "http://127.0.0.1:1");
    try {
      await open(`http://localhost:${etcd.port}`).unary(rpc.range, { key });
    } finally {
      vi.unstubAllEnvs();
    }
  });

  test("receives an answer of 20 MB", async () => {
    const transport = open(etcd.endpoint);
    const value = new Uint8Array(1_000_000).fill(7);
    for (let i = 0; i < 20; i++) await transport.unary(rpc.put, { key: utf8(`big/${i}`), value });
    const { kvs, count } = await transport.unary(rpc.range, { key: utf8("big/"), rangeEnd: utf8("big0") });
    expect(count).toBe(20);
    for (const kv of kvs) expect(Buffer.compare(kv.value, value)).toBe(0);
    await transport.unary(rpc.deleteRange, { key: utf8("big/"), rangeEnd: utf8("big0") });
  });

  test("makes thousands of calls at once on one signal, without a warning", async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error): number => warnings.push(warning);
    process.on("warning", warn);
    const transport = open(etcd.endpoint);
    const { signal } = new AbortController();
    const calls = Array.from({ length: 5000 }, (_, i) =>
      transport.unary(rpc.put, { key: utf8(`many/${i}`), value: utf8(`${i}`) }, { signal }),
    );
    const revisions = new Set((await Promise.all(calls)).map(({ header }) => header?.revision));
    expect(revisions.size).toBe(5000);
    await delay(0);
    process.off("warning", warn);
    expect(warnings).toEqual([]);
  });
});

describe.skipIf(!etcdAvailable)("a transport whose server fails", () => {
  let etcd: EtcdServer;
  beforeAll(async () => {
    etcd = await startEtcd();
  });
  afterEach(async () => {
    if (etcd.pid === undefined) await etcd.restart();
    etcd.thaw();
  });
  afterAll(() => etcd[Symbol.asyncDispose]());

  test("ends a stream exactly once when the server is killed, and serves again when it is back", async () => {
    const transport = open(etcd.endpoint);
    const { messages, ends } = watchAll(transport);
    await until(() => messages.length === 1);
    await etcd.kill();
    await until(() => ends.length > 0);
    const refused = await failure(transport.unary(rpc.put, { key, value: key }));
    expect(refused).toMatchObject({ status: 14, maybeSent: false });
    expect(refused.details).toMatch(/^no connection: connect ECONNREFUSED/);
    await etcd.restart();
    await transport.unary(rpc.put, { key, value: key });
    const again = watchAll(transport);
    await until(() => again.messages.length === 1);
    expect(ends).toMatchObject([{ status: 14, maybeSent: true }]);
    expect(messages).toHaveLength(1);
  });

  test("says of a write whose answer was lost that it may have been sent", async () => {
    const transport = open(etcd.endpoint);
    await transport.unary(rpc.range, { key });
    await etcd.freeze();
    const write = observe(transport.unary(rpc.put, { key, value: key }));
    await delay(50);
    await etcd.kill();
    await until(() => write().state !== "pending");
    expect(write()).toMatchObject({ state: "rejected", reason: { status: 14, maybeSent: true } });
  });

  test("keeps the deadline of a call to a server that is frozen, and bounds connecting to it", async () => {
    const transport = open(etcd.endpoint, { connectTimeoutMs: 300 });
    await transport.unary(rpc.range, { key });
    await etcd.freeze();
    const started = performance.now();
    expect(await failure(transport.unary(rpc.put, { key, value: key }, { deadlineMs: 200 }))).toMatchObject({
      status: 4,
      maybeSent: true,
    });
    const fresh = open(etcd.endpoint, { connectTimeoutMs: 300 });
    expect(await failure(fresh.unary(rpc.put, { key, value: key }, { deadlineMs: 100 }))).toMatchObject({
      status: 4,
      maybeSent: false,
    });
    const { ends } = watchAll(fresh);
    expect(await failure(fresh.unary(rpc.put, { key, value: key }))).toMatchObject({
      status: 14,
      details: "no connection within 300 ms",
      maybeSent: false,
    });
    await until(() => ends.length > 0);
    expect(ends).toMatchObject([{ status: 14, details: "no connection within 300 ms", maybeSent: false }]);
    expect(performance.now() - started).toBeLessThan(3000);
    etcd.thaw();
    await fresh.unary(rpc.range, { key });
  });

  test("notices within the time for a probe that the server is frozen", async () => {
    const transport = open(etcd.endpoint, { keepAliveMs: 1000, keepAliveTimeoutMs: 500 });
    const { messages, ends } = watchAll(transport);
    await until(() => messages.length === 1);
    await etcd.freeze();
    const started = performance.now();
    while (ends.length === 0) await delay(20);
    // keepAliveMs counts as 5000, see there.
    expect(performance.now() - started).toBeLessThan(7500);
    expect(ends).toMatchObject([{ status: 14 }]);
  });

  test.skipIf(!existsSync("/proc/self/fd"))(
    "leaves no socket behind, whatever they were doing when it was closed",
    async () => {
      const before = sockets();
      const transport = open(etcd.endpoint);
      const { messages, ends } = watchAll(transport);
      await until(() => messages.length === 1);
      await transport.unary(rpc.range, { key });
      await etcd.freeze();
      const call = observe(transport.unary(rpc.put, { key, value: key }));
      const connecting = open(etcd.endpoint);
      const waiting = observe(connecting.unary(rpc.put, { key, value: key }));
      await until(() => sockets() === before + 3);
      transport.close();
      transport.close();
      connecting.close();
      await until(() => call().state !== "pending" && waiting().state !== "pending" && ends.length > 0);
      expect(call()).toMatchObject({ state: "rejected", reason: { status: 1, details: "the transport was closed" } });
      expect(waiting()).toMatchObject({ state: "rejected", reason: { maybeSent: false } });
      expect(ends).toMatchObject([{ status: 1, details: "the transport was closed" }]);
      await until(() => sockets() === before);
    },
  );

  test("lets the process exit by itself after close, whatever was under way", async () => {
    await using proxy = await startProxy(etcd.port);
    const silent = await startUnanswering();
    try {
      const program = await bundle(`
        import { connect } from "./src/etcd/transport.ts";
        import { parseEndpoints } from "./src/etcd/endpoint.ts";
        import * as rpc from "./src/etcd/proto/methods.ts";
        const ended = [];
        const transports = JSON.parse(process.env.ENDPOINTS).map((endpoint) => {
          const transport = connect(parseEndpoints(endpoint, false)[0], { connectTimeoutMs: 60_000 });
          transport.unary(rpc.range, { key: Uint8Array.of(1) }).catch((e) => ended.push(e.status));
          transport.duplex(rpc.watch, { message() {}, end: (e) => ended.push(e.status) });
          return transport;
        });
        setTimeout(() => {
          for (const transport of transports) transport.close();
          const closed = Date.now();
          process.on("exit", () => console.log(JSON.stringify({ ended, after: Date.now() - closed })));
        }, 500);
      `);
      proxy.blackhole();
      const { stdout, exitCode, stderr } = await run(program, {
        ENDPOINTS: JSON.stringify([etcd.endpoint, proxy.endpoint, silent.endpoint]),
      });
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      const { ended, after } = JSON.parse(stdout) as { ended: number[]; after: number };
      // Of the server that answers, the call has ended before.
      expect(ended).toEqual(Array.from({ length: 5 }, () => expect.toBeOneOf([1, 14]) as number));
      expect(after).toBeLessThan(1000);
    } finally {
      silent.stop();
    }
  });

  test("lets the process exit although it was not closed, when nothing is under way", async () => {
    const program = await bundle(`
      import { connect } from "./src/etcd/transport.ts";
      import { parseEndpoints } from "./src/etcd/endpoint.ts";
      import * as rpc from "./src/etcd/proto/methods.ts";
      await connect(parseEndpoints(process.env.ENDPOINT, false)[0]).unary(rpc.range, { key: Uint8Array.of(1) });
    `);
    expect(await run(program, { ENDPOINT: etcd.endpoint })).toMatchObject({ exitCode: 0, stderr: "" });
  });
});

describe("a transport", () => {
  test.each([
    ["a port nobody listens on", async () => `127.0.0.1:${(await freePorts(1))[0]}`, /ECONNREFUSED/],
    ["a name that does not exist", async () => "no-such-host.invalid:1", /ENOTFOUND|EAI_AGAIN/],
  ])("to %s fails at once, and has sent nothing", async (_, endpoint, details) => {
    const error = await failure(open(await endpoint()).unary(rpc.put, { key }));
    expect(error).toMatchObject({ status: 14, maybeSent: false });
    expect(error.details).toMatch(details);
  });

  test("to a web server fails, and says how", async () => {
    const web = createHttpServer((_, response) => response.end("hello")).listen(0, "127.0.0.1");
    await once(web, "listening");
    const transport = open(`127.0.0.1:${(web.address() as AddressInfo).port}`);
    expect(await failure(transport.unary(rpc.put, { key }))).toMatchObject({ status: 14, maybeSent: false });
    const { ends } = watchAll(transport);
    await until(() => ends.length > 0);
    web.closeAllConnections();
    web.close();
  });

  test("to a web server that speaks HTTP/2 fails, and says how", async () => {
    await using server = await startGrpcServer({
      refuse: (stream) => {
        stream.respond({ ":status": 404, "content-type": "text/html" });
        stream.end("<html></html>");
        return true;
      },
      call: () => {},
    });
    const error = await failure(open(server.endpoint).unary(rpc.range, { key }));
    expect(error).toMatchObject({ status: 12, details: "Received HTTP status code 404" });
  });

  test("to a server that answers in a compression which it did not announce fails, and says something", async () => {
    await using server = await startGrpcServer({
      call: ({ stream }) => {
        stream.respond({ ":status": 200, "content-type": "application/grpc" });
        stream.end(Buffer.from([1, 0, 0, 0, 2, 10, 99]));
      },
    });
    const transport = open(server.endpoint);
    const { details } = await failure(transport.unary(rpc.range, { key }));
    expect(details).toEqual(expect.any(String));
    const { ends } = watchAll(transport);
    await until(() => ends.length > 0);
    expect(ends[0]!.details).toEqual(expect.any(String));
  });

  test("reaches an IPv6 address", async () => {
    await using server = await startGrpcServer({ host: "::1", call: ({ answer }) => answer(nothing, 0) });
    expect(await open(server.endpoint).unary(rpc.range, { key })).toMatchObject({ count: 0 });
  });

  test("sends the token, and asks for a leader unless it is told not to", async () => {
    const seen: unknown[] = [];
    await using server = await startGrpcServer({
      call: ({ headers, answer }) => {
        seen.push([headers["token"], headers["hasleader"]]);
        answer(nothing, 0);
      },
    });
    const transport = open(server.endpoint);
    await transport.unary(rpc.range, { key });
    await transport.unary(rpc.range, { key }, { token: "t", requireLeader: false });
    transport.duplex(rpc.watch, { message: () => {}, end: () => {} }, { token: "s" }).send({ requestUnion: undefined });
    await until(() => seen.length === 3);
    expect(seen).toEqual([
      [undefined, "true"],
      ["t", undefined],
      ["s", "true"],
    ]);
  });

  test("rejects an aborted call with the signal's reason itself, and tells the server", async () => {
    const calls: IncomingCall[] = [];
    await using server = await startGrpcServer({ call: (call) => calls.push(call) });
    const transport = open(server.endpoint);
    const reason = { why: "no longer wanted" };
    expect(await rejection(transport.unary(rpc.range, { key }, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    const controller = new AbortController();
    const call = transport.unary(rpc.range, { key }, { signal: controller.signal });
    await until(() => calls.length === 1);
    controller.abort(reason);
    expect(await rejection(call)).toBe(reason);
    await once(calls[0]!.stream, "close");
    expect(calls).toHaveLength(1);
  });

  test("forgets a signal that is aborted after the answer", async () => {
    await using server = await startGrpcServer({ call: ({ answer }) => answer(nothing, 0) });
    const controller = new AbortController();
    await open(server.endpoint).unary(rpc.range, { key }, { signal: controller.signal });
    controller.abort();
  });

  test("fails a call whose answer cannot be decoded, with the decoder's error as the cause", async () => {
    await using server = await startGrpcServer({ call: ({ answer }) => answer(Uint8Array.of(10, 99), 0) });
    const error = await failure(open(server.endpoint).unary(rpc.range, { key }));
    expect(error).toMatchObject({ status: 13, maybeSent: true, cause: expect.any(RangeError) as RangeError });
  });

  test("fails a call that ends well without an answer", async () => {
    await using server = await startGrpcServer({ call: ({ answer }) => answer(undefined, 0) });
    const error = await failure(open(server.endpoint).unary(rpc.range, { key }));
    expect(error).toMatchObject({ status: 13, maybeSent: true, details: "the server sent no answer" });
  });

  test("leaves nothing of a call that cannot be begun, not even its deadline", async () => {
    await using server = await startGrpcServer({ call: ({ answer }) => answer(nothing, 0) });
    const transport = open(server.endpoint);
    await transport.unary(rpc.range, { key });
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const before = timers();
    expect(await rejection(transport.unary(rpc.range, { key }, { token: "\n", deadlineMs: 60_000 }))).toBeInstanceOf(
      Error,
    );
    expect(timers()).toBe(before);
  });

  test("rejects with what the encoder throws, and goes on", async () => {
    await using server = await startGrpcServer({ call: ({ answer }) => answer(nothing, 0) });
    const transport = open(server.endpoint);
    const thrown = new Error("cannot be encoded");
    const method: Method<unknown, unknown> = {
      ...rpc.range,
      encode: () => {
        throw thrown;
      },
    };
    expect(await rejection(transport.unary(method, {}))).toBe(thrown);
    expect(await rejection(transport.unary(rpc.range, { key }, { token: "\n" }))).toBeInstanceOf(Error);
    await transport.unary(rpc.range, { key });
    transport.close();
    await until(() => server.sessions.size === 0);
  });

  test.each([
    [
      "its message handler throws",
      nothing,
      () => {
        throw new TypeError("thrown by the handler");
      },
      TypeError,
    ],
    ["a message cannot be decoded", Uint8Array.of(10, 99), () => {}, RangeError],
  ])("ends a stream once when %s", async (_, message, handle, cause) => {
    const calls: IncomingCall[] = [];
    await using server = await startGrpcServer({ call: (call) => calls.push(call) });
    const ends: TransportError[] = [];
    const duplex = open(server.endpoint).duplex(rpc.watch, { message: handle, end: (error) => ends.push(error) });
    duplex.send({ requestUnion: undefined });
    await until(() => calls.length === 1);
    calls[0]!.answer(message);
    calls[0]!.answer(message);
    await once(calls[0]!.stream, "close");
    expect(ends).toMatchObject([{ status: 13, cause: expect.any(cause) as Error }]);
    duplex.send({ requestUnion: undefined });
    duplex.close();
  });

  test("survives an end handler that throws", async () => {
    await using server = await startGrpcServer({ call: ({ answer }) => answer(undefined, 14) });
    let ends = 0;
    const end = (): never => {
      ends++;
      throw new Error("thrown by the handler");
    };
    open(server.endpoint)
      .duplex(rpc.watch, { message: () => {}, end })
      .send({ requestUnion: undefined });
    await until(() => ends === 1);
  });

  test("ends a stream that the server ends without an error", async () => {
    await using server = await startGrpcServer({ call: ({ answer }) => answer(undefined, 0) });
    const { ends } = watchAll(open(server.endpoint));
    await until(() => ends.length > 0);
    expect(ends).toMatchObject([{ status: 14, details: "the server ended the stream" }]);
  });

  test("delivers in order all that the server sent before it ended the stream", async () => {
    const count = 500;
    await using server = await startGrpcServer({
      call: ({ answer }) => {
        for (let i = 0; i < count; i++) answer(watchResponse(i), i === count - 1 ? 0 : undefined);
      },
    });
    const { messages, ends } = watchAll(open(server.endpoint));
    await until(() => ends.length > 0);
    expect(messages.map(({ watchId }) => watchId)).toEqual(Array.from({ length: count }, (_, i) => i));
  });

  test("calls no handler of a stream that was closed, and tells the server", async () => {
    const calls: IncomingCall[] = [];
    await using server = await startGrpcServer({ call: (call) => calls.push(call) });
    const transport = open(server.endpoint);
    const { messages, ends, duplex } = watchAll(transport);
    await until(() => calls.length === 1);
    calls[0]!.answer(watchResponse(0));
    calls[0]!.answer(watchResponse(1));
    await until(() => messages.length > 0);
    const told = messages.length;
    duplex.close();
    duplex.close();
    await once(calls[0]!.stream, "close");
    transport.close();
    await until(() => server.sessions.size === 0);
    expect(messages).toHaveLength(told);
    expect(ends).toEqual([]);
  });

  test("ends every call and stream made after it was closed", async () => {
    const transport = open("127.0.0.1:1");
    transport.close();
    expect(await failure(transport.unary(rpc.put, { key }))).toMatchObject({ status: 1, maybeSent: false });
    const { ends } = watchAll(transport);
    expect(ends).toEqual([]);
    await until(() => ends.length === 1);
    const { ends: none, duplex } = watchAll(transport);
    duplex.close();
    await delay(0);
    expect(none).toEqual([]);
  });

  test("makes a new connection when the server says that it goes away, and lets running calls end on the old one", async () => {
    const calls: IncomingCall[] = [];
    await using server = await startGrpcServer({ call: (call) => calls.push(call) });
    const transport = open(server.endpoint);
    const first = transport.unary(rpc.range, { key });
    await until(() => calls.length === 1);
    const [session] = server.sessions;
    session!.goaway();
    await delay(20);
    const second = transport.unary(rpc.range, { key });
    await until(() => calls.length === 2);
    expect(calls[1]!.stream.session).not.toBe(session);
    for (const { answer } of calls) answer(nothing, 0);
    await Promise.all([first, second]);
    await until(() => server.sessions.size === 1);
  });

  test("does not hold against the server that this process stood still while it connected", async () => {
    await using server = await startGrpcServer({ call: ({ answer }) => answer(nothing, 0) });
    const call = open(server.endpoint, { connectTimeoutMs: 200 }).unary(rpc.range, { key });
    await turn();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    await call;
  });

  test("makes no attempt to connect without a call", async () => {
    const [port] = await freePorts(1);
    const transport = open(`127.0.0.1:${port}`);
    await failure(transport.unary(rpc.range, { key }));
    await delay(10);
    let attempts = 0;
    const web = createHttpServer()
      .on("connection", () => attempts++)
      .listen(port, "127.0.0.1");
    await once(web, "listening");
    await delay(500);
    expect(attempts).toBe(0);
    await failure(transport.unary(rpc.range, { key }));
    expect(attempts).toBe(1);
    web.close();
  });
});

describe(`what a transport says about lost calls (seed ${seed})`, () => {
  test("is never that a request was not sent which the server has seen", async () => {
    const random = new Random(seed);
    const seen = new Set<string>();
    await using server = await startGrpcServer({
      call: ({ message, stream, answer }) => {
        seen.add(message.toString("latin1"));
        const end = (): void => {
          const fate = random.below(20);
          if (fate === 0) stream.session?.destroy();
          if (fate === 1) stream.session?.goaway();
          if (fate === 2) stream.close(constants.NGHTTP2_REFUSED_STREAM);
          else answer(nothing, fate === 3 ? 14 : 0);
        };
        if (random.below(2) === 0) end();
        else setTimeout(end, random.below(5));
      },
    });
    const transport = open(server.endpoint);
    const unsent = new Set<string>();
    const counts = { answered: 0, maybeSent: 0, notSent: 0 };
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < 3000) {
        const id = utf8(`id-${next++}`);
        const sent = Buffer.from(rpc.range.encode({ key: id })).toString("latin1");
        try {
          await transport.unary(rpc.range, { key: id }, random.below(10) === 0 ? { deadlineMs: random.below(3) } : {});
          counts.answered++;
        } catch (error) {
          if (!(error instanceof TransportError)) throw error;
          counts[error.maybeSent ? "maybeSent" : "notSent"]++;
          if (!error.maybeSent) unsent.add(sent);
        }
      }
    };
    await Promise.all(Array.from({ length: 20 }, worker));
    transport.close();
    // What was under way has arrived by the time a later call is answered.
    for (let answered = false; !answered;) {
      answered = await open(server.endpoint)
        .unary(rpc.range, { key })
        .then(
          () => true,
          () => false,
        );
    }
    expect([...unsent].filter((sent) => seen.has(sent))).toEqual([]);
    for (const count of Object.values(counts)) expect(count, JSON.stringify(counts)).toBeGreaterThan(20);
  });
});

describe(`a transport closed at any moment (seed ${seed})`, () => {
  test("settles every call and ends every stream once", async () => {
    const random = new Random(seed);
    await using server = await startGrpcServer({ call: ({ answer }) => answer(nothing, 0) });
    const pauses = [() => Promise.resolve(), turn, () => delay(0), () => delay(1), () => delay(random.below(8))];
    const counts = { calls: 0, settled: 0, streams: 0, ends: 0 };
    const settled = (): unknown => counts.settled++;
    const user = async (): Promise<void> => {
      for (let i = 0; i < 60; i++) {
        const endpoint = random.below(8) === 0 ? "127.0.0.1:1" : server.endpoint;
        const transport = open(endpoint, { connectTimeoutMs: random.pick([1, 3, 1000]) });
        const controller = new AbortController();
        for (let n = random.below(3); n > 0; n--) {
          counts.calls++;
          const options = { signal: controller.signal, deadlineMs: random.pick([1, 1000]) };
          void transport.unary(rpc.range, { key }, options).then(settled, settled);
        }
        if (random.below(2) === 0) {
          counts.streams++;
          transport
            .duplex(rpc.watch, { message: () => {}, end: () => counts.ends++ })
            .send({ requestUnion: undefined });
        }
        for (let n = random.below(6); n > 0; n--) await random.pick(pauses)();
        if (random.below(4) === 0) controller.abort();
        transport.close();
      }
    };
    await Promise.all(Array.from({ length: 8 }, user));
    await until(() => counts.settled === counts.calls && counts.ends >= counts.streams);
    await delay(150); // until what was closed while it failed to connect has made its last attempt
    expect(counts.ends).toBe(counts.streams);
  });
});

describe("a transport with TLS", () => {
  let folder: string;
  const file = (name: string): string => readFileSync(join(folder, name), "utf8");
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "event-value-tls-"));
    makeAuthority(folder, "ca");
    for (const name of ["server", "client"]) makeCertificate(folder, name, "ca");
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const start = (): Promise<GrpcServer> =>
    startGrpcServer({
      tls: {
        key: file("server.key"),
        cert: file("server.pem"),
        ca: file("ca.pem"),
        requestCert: true,
        rejectUnauthorized: true,
      },
      call: ({ answer }) => answer(nothing, 0),
    });
  const client = (): object => ({ ca: file("ca.pem"), cert: file("client.pem"), key: file("client.key") });

  test("trusts the given authority and shows its own certificate, to an address as to a name", async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error): number => warnings.push(warning);
    process.on("warning", warn);
    await using server = await start();
    await open(server.endpoint, { tls: client() }).unary(rpc.range, { key });
    await open(`https://localhost:${server.port}`, { tls: client() }).unary(rpc.range, { key });
    const bytes = { ca: utf8(file("ca.pem")), cert: utf8(file("client.pem")), key: utf8(file("client.key")) };
    await open(`127.0.0.1:${server.port}`, { tls: bytes }).unary(rpc.range, { key });
    await delay(0);
    process.off("warning", warn);
    expect(warnings).toEqual([]);
  });

  test("expects the given name in the certificate", async () => {
    await using server = await start();
    await open(server.endpoint, { tls: { ...client(), serverName: "etcd.test" } }).unary(rpc.range, { key });
    const other = open(server.endpoint, { tls: { ...client(), serverName: "other.test" } });
    expect(await failure(other.unary(rpc.put, { key }))).toMatchObject({
      status: 14,
      details: expect.stringContaining("other.test") as string,
      maybeSent: false,
    });
  });

  test("fails where it trusts nobody who signed the server's certificate", async () => {
    await using server = await start();
    const { cert, key: secret } = client() as { cert: string; key: string };
    const error = await failure(open(server.endpoint, { tls: { cert, key: secret } }).unary(rpc.put, { key }));
    expect(error).toMatchObject({ status: 14, maybeSent: false });
    expect(error.details).toMatch(/certificate|issuer/);
  });

  test("fails where the server speaks no TLS, and where it never answers", async () => {
    await using plain = await startGrpcServer({ call: () => {} });
    const tls = client();
    expect(await failure(open(`https://127.0.0.1:${plain.port}`, { tls }).unary(rpc.put, { key }))).toMatchObject({
      status: 14,
      maybeSent: false,
    });
    await using proxy = await startProxy(plain.port);
    proxy.blackhole();
    const silent = open(`https://127.0.0.1:${proxy.port}`, { tls, connectTimeoutMs: 200 });
    expect(await failure(silent.unary(rpc.put, { key }))).toMatchObject({ details: "no connection within 200 ms" });
  });

  test.each([
    ["a key without a certificate", { key: "x" }],
    ["a certificate without a key", { cert: "x" }],
    ["a certificate that is none", { cert: "x", key: "y" }],
    ["an authority that is none", { ca: "x" }],
  ])("refuses %s at once", (_, tls) => {
    expect(() => connect(parseEndpoints("https://127.0.0.1:1", true)[0], { tls })).toThrow(TypeError);
  });
});

function watchResponse(watchId: number): Uint8Array {
  const rest = { created: false, canceled: false, compactRevision: 0, cancelReason: "", fragment: false, events: [] };
  return generated.WatchResponse.encode({ header: undefined, watchId, ...rest }).finish();
}

/** How many sockets this process has open, also such as do not keep it alive. */
function sockets(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:");
    } catch {
      return false; // what the folder was read with
    }
  }).length;
}

/** A port of this machine that does not even answer to the wish to connect: its queue is full and nobody accepts. */
async function startUnanswering(): Promise<{ endpoint: string; stop(): void }> {
  const child = spawn(process.execPath, [
    "-e",
    `require("net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, function () { console.log(this.address().port); })`,
  ]);
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(line.toString());
  child.kill("SIGSTOP");
  const queued: Socket[] = [];
  for (let full = false; !full;) {
    const socket = connectTcp(port, "127.0.0.1");
    socket.on("error", () => {});
    queued.push(socket);
    full = (await Promise.race([once(socket, "connect"), delay(200)])) === undefined;
  }
  return {
    endpoint: `http://127.0.0.1:${port}`,
    stop() {
      for (const socket of queued) socket.destroy();
      child.kill("SIGKILL");
    },
  };
}

/** A program that imports the library's source, as one module. */
async function bundle(contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: join(import.meta.dirname, "../.."), loader: "ts" },
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "silent",
    banner: {
      js: `import { createRequire } from "node:module"; const require = createRequire("file:///program.js"); const __dirname = "/";`,
    },
  });
  return outputFiles[0]!.text;
}

async function run(
  program: string,
  env: Readonly<Record<string, string>>,
): Promise<{ stdout: string; stderr: string; exitCode: number | null }> {
  const child = spawn(process.execPath, ["--input-type=module", "-"], { env: { ...process.env, ...env } });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (part: Buffer) => (stdout += part.toString()));
  child.stderr.on("data", (part: Buffer) => (stderr += part.toString()));
  child.stdin.end(program);
  const [exitCode] = (await once(child, "close")) as [number | null];
  return { stdout, stderr, exitCode };
}
