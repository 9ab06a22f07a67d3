import { describe, expect, test, vi } from "vitest";
import type { Client } from "../../src/etcd/client.ts";
import type { WatchRequest } from "../../src/etcd/proto/generated/etcd.ts";
import type { WatchEvent, WatchMessage } from "../../src/etcd/proto/hot-decoders.ts";
import { type StreamHandlers, type Transport, TransportError } from "../../src/etcd/transport.ts";
import { WatchStream } from "../../src/etcd/watch-stream.ts";
import { turn } from "../support/promises.ts";

/** One stream that was opened, as the server sees it. */
class ServerSide {
  readonly requests: WatchRequest[] = [];
  closed = false;
  readonly #handlers: StreamHandlers<WatchMessage>;

  constructor(handlers: StreamHandlers<WatchMessage>) {
    this.#handlers = handlers;
  }

  /** What was asked for, as text. */
  get asked(): string[] {
    return this.requests.map(({ requestUnion: request }) => {
      if (request?.$case === "createRequest") return `create ${Buffer.from(request.value.key!).toString()}`;
      return request?.$case === "cancelRequest" ? `cancel ${request.value.watchId}` : "progress";
    });
  }

  send(message: Partial<WatchMessage>): void {
    const header = { clusterId: "1", memberId: "1", raftTerm: 2, revision: 100 };
    const empty = {
      watchId: 0,
      created: false,
      canceled: false,
      compactRevision: 0,
      cancelReason: "",
      fragment: false,
      events: [],
    };
    this.#handlers.message({ header, ...empty, ...message });
  }

  fail(): void {
    this.#handlers.end(new TransportError("model", 14, "connection lost", true));
  }
}

function setUp() {
  const servers: ServerSide[] = [];
  const transport = {
    duplex(_method: unknown, handlers: StreamHandlers<WatchMessage>) {
      const server = new ServerSide(handlers);
      servers.push(server);
      return {
        send: (request: WatchRequest) => void server.requests.push(request),
        close: () => void (server.closed = true),
      };
    },
  };
  const client = {
    closed: new AbortController().signal,
    requestTimeoutMs: 10_000,
    current: transport as unknown as Transport,
    access: async () => ({ transport: client.current, token: undefined }),
    leave: () => {},
  };
  const stream = new WatchStream(client as unknown as Client);
  /** Watches a key, and notes what it is told. */
  const watch = (key: string): { told: string[]; events: WatchEvent[][]; cancel: () => void } => {
    const told: string[] = [];
    const events: WatchEvent[][] = [];
    const spec = { key: new TextEncoder().encode(key), rangeEnd: undefined, startRevision: 5 };
    const asked = stream.watch(spec, {
      created: () => void told.push("created"),
      events: (some) => {
        told.push(`${some.length} events`);
        events.push([...some]);
      },
      progress: (revision) => void told.push(`progress ${revision}`),
      compacted: () => void told.push("compacted"),
      refused: ({ details }) => void told.push(`refused: ${details}`),
      lost: () => void told.push("lost"),
    });
    return { told, events, cancel: () => asked.cancel() };
  };
  return { client, stream, servers, transport: client.current, watch };
}

function eventsOf(count: number, revision = 6): WatchEvent[] {
  const event: WatchEvent = {
    type: "put",
    key: "a",
    rawKey: undefined,
    value: new Uint8Array(0),
    createRevision: revision,
    modRevision: revision,
    version: 1,
    lease: "0",
  };
  return Array.from({ length: count }, () => event);
}

describe("the watch stream", () => {
  test("matches answers to creates in their order, also that of one that failed, which has no id", async () => {
    const { servers, watch } = setUp();
    const [a, b, c] = [watch("a"), watch("b"), watch("c")];
    await turn();
    const [server] = servers as [ServerSide];
    expect(server.asked).toEqual(["create a", "create b", "create c"]);
    server.send({ created: true, watchId: 7 });
    server.send({
      created: true,
      canceled: true,
      watchId: -1,
      cancelReason: "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
    });
    server.send({ created: true, watchId: 8 });
    server.send({ watchId: 8, events: eventsOf(2) });
    server.send({ watchId: 7, events: eventsOf(1) });
    expect(a.told).toEqual(["created", "1 events"]);
    expect(b.told).toEqual(["refused: etcdserver: permission denied"]);
    expect(c.told).toEqual(["created", "2 events"]);
    expect(servers).toHaveLength(1);
  });

  test("asks for all events, in fragments, with progress", async () => {
    const { servers, watch } = setUp();
    watch("a");
    await turn();
    expect(servers[0]!.requests[0]!.requestUnion).toMatchObject({
      $case: "createRequest",
      value: { startRevision: 5, fragment: true, progressNotify: true, filters: [] },
    });
  });

  test("puts the fragments of a response together, of each watch its own", async () => {
    const { servers, watch } = setUp();
    const [a, b] = [watch("a"), watch("b")];
    await turn();
    const [server] = servers as [ServerSide];
    server.send({ created: true, watchId: 1 });
    server.send({ created: true, watchId: 2 });
    server.send({ watchId: 1, fragment: true, events: eventsOf(2, 6) });
    server.send({ watchId: 2, events: eventsOf(1) });
    server.send({ watchId: 2, fragment: true, events: eventsOf(1) });
    server.send({ watchId: 1, fragment: true, events: eventsOf(3, 6) });
    expect(a.told).toEqual(["created"]);
    server.send({ watchId: 1, events: eventsOf(1, 7) });
    expect(a.told).toEqual(["created", "6 events"]);
    expect(a.events[0]!.map(({ modRevision }) => modRevision)).toEqual([6, 6, 6, 6, 6, 7]);
    expect(b.told).toEqual(["created", "1 events"]);
    // What was collected is not told twice.
    server.send({ watchId: 1, events: eventsOf(1) });
    expect(a.told.at(-1)).toBe("1 events");
  });

  test("takes fragments of any number of events", async () => {
    const { servers, watch } = setUp();
    const a = watch("a");
    await turn();
    servers[0]!.send({ created: true, watchId: 1 });
    servers[0]!.send({ watchId: 1, fragment: true, events: eventsOf(300_000) });
    servers[0]!.send({ watchId: 1, events: eventsOf(300_000) });
    expect(a.told).toEqual(["created", "600000 events"]);
  });

  test("tells of a compaction once, and takes no notice of what else the server says of that watch", async () => {
    const { servers, watch } = setUp();
    const [a, b] = [watch("a"), watch("b")];
    await turn();
    const [server] = servers as [ServerSide];
    server.send({ created: true, watchId: 1 });
    server.send({ created: true, watchId: 2 });
    for (let i = 0; i < 3; i++) server.send({ watchId: 1, canceled: true, compactRevision: 50 });
    server.send({ watchId: 1, events: eventsOf(1) });
    expect(a.told).toEqual(["created", "compacted"]);
    expect(server.asked, "answered once").toEqual(["create a", "create b", "cancel 1"]);
    server.send({ watchId: 2, events: [] });
    expect(b.told).toEqual(["created", "progress 100"]);
  });

  test("cancels a watch that ends while it is not created yet, and the stream with the last one", async () => {
    const { servers, stream, watch } = setUp();
    const [a, b] = [watch("a"), watch("b")];
    await turn();
    const [server] = servers as [ServerSide];
    a.cancel();
    expect(server.asked).toEqual(["create a", "create b"]);
    server.send({ created: true, watchId: 1 });
    expect(server.asked.at(-1)).toBe("cancel 1");
    server.send({ watchId: 1, events: eventsOf(1) });
    server.send({ created: true, watchId: 2 });
    expect([a.told, b.told]).toEqual([[], ["created"]]);
    expect(server.closed).toBe(false);
    b.cancel();
    expect(server.closed).toBe(true);
    expect(stream.size).toBe(0);
    const again = watch("c");
    await turn();
    expect(servers).toHaveLength(2);
    servers[1]!.send({ created: true, watchId: 0 });
    expect(again.told).toEqual(["created"]);
  });

  test("tells all watches that it is lost, and opens another one for those that come then", async () => {
    const { servers, watch } = setUp();
    const [a, b] = [watch("a"), watch("b")];
    await turn();
    servers[0]!.send({ created: true, watchId: 1 });
    servers[0]!.send({ watchId: 1, fragment: true, events: eventsOf(1) });
    servers[0]!.fail();
    expect([a.told, b.told]).toEqual([["created", "lost"], ["lost"]]);
    const c = watch("c");
    await turn();
    expect(servers).toHaveLength(2);
    // What the old one still says is nobody's.
    servers[0]!.send({ created: true, watchId: 5 });
    servers[0]!.fail();
    expect(servers[1]!.asked).toEqual(["create c"]);
    servers[1]!.send({ created: true, watchId: 1 });
    expect(c.told).toEqual(["created"]);
  });

  test("K9 leaves a member that answers no create; whatever it says meanwhile counts as a sign of life", async () => {
    vi.useFakeTimers();
    try {
      const { servers, watch } = setUp();
      const a = watch("a");
      await vi.advanceTimersByTimeAsync(0);
      const [server] = servers as [ServerSide];
      vi.advanceTimersByTime(9000);
      const b = watch("b");
      server.send({ created: true, watchId: 1 });
      vi.advanceTimersByTime(9000);
      server.send({ watchId: 1, events: eventsOf(1) });
      vi.advanceTimersByTime(9000);
      expect([a.told, b.told]).toEqual([["created", "1 events"], []]);
      // What is there when the time is over is read first: the event loop may have stood still.
      vi.advanceTimersByTime(1099);
      expect([a.told, b.told]).toEqual([["created", "1 events"], []]);
      vi.advanceTimersByTime(1);
      expect([a.told, b.told]).toEqual([["created", "1 events", "lost"], ["lost"]]);
      expect(server.closed).toBe(true);
      // Answered, it may be silent for as long as it likes.
      const c = watch("c");
      await vi.advanceTimersByTimeAsync(0);
      servers[1]!.send({ created: true, watchId: 1 });
      vi.advanceTimersByTime(3_600_000);
      expect(c.told).toEqual(["created"]);
      c.cancel();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test("K9 goes where the calls go: a member that they have left is left, and silence even where there is no other", async () => {
    const silence = new TransportError("model", 4, "deadline exceeded", true);
    const failure = new TransportError("model", 14, "leader changed", true);
    for (const [error, isLeft, isLost] of [
      [failure, false, false],
      [failure, true, true],
      [silence, false, true],
      [silence, true, true],
    ] as const) {
      const { client, stream, servers, transport, watch } = setUp();
      const other = { ...transport };
      const a = watch("a");
      await turn();
      servers[0]!.send({ created: true, watchId: 1 });
      // What another member does is its own affair.
      stream.doubt(other, silence);
      expect(a.told).toEqual(["created"]);
      if (isLeft) client.current = other;
      stream.doubt(transport, error);
      expect(a.told).toEqual(isLost ? ["created", "lost"] : ["created"]);
      expect(servers[0]!.closed).toBe(isLost);
    }
  });
});
