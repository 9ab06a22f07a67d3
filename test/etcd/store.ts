/** The store itself, read and changed past the keyspaces under test: what they are held against. */
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { afterAll, beforeAll } from "vitest";
import { parseEndpoints } from "../../src/etcd/endpoint.ts";
import {
  authenticate,
  compact,
  deleteRange,
  leaseGrant,
  leaseRevoke,
  leaseTimeToLive,
  put,
  range,
  txn,
} from "../../src/etcd/proto/methods.ts";
import { connect, type Method, type Transport, type UnaryOptions } from "../../src/etcd/transport.ts";
import { prefixEnd } from "../../src/range/keys.ts";
import { type EtcdOptions, type EtcdServer, startEtcd } from "../support/etcd.ts";
import type { User } from "../support/users.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The bytes of a text; bytes as they are. */
export function raw(text: string | Uint8Array): Uint8Array {
  return typeof text === "string" ? encoder.encode(text) : text;
}

/** What the store holds under a key. */
export interface Held {
  readonly value: string;
  readonly revision: number;
  readonly createRevision: number;
}

/** One operation of a transaction: a put, or without a value a delete. */
export interface Operation {
  readonly key: string;
  readonly value?: string;
}

/** The store behind one endpoint. Its calls are made once and not repeated. */
export class Store implements Disposable {
  readonly #transport: Transport;
  readonly endpoint: string;

  constructor(endpoint: string) {
    this.endpoint = endpoint;
    this.#transport = connect(parseEndpoints(endpoint, false)[0]);
  }

  /** Makes any call of etcd's API. */
  call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options?: UnaryOptions,
  ): Promise<Response> {
    return this.#transport.unary(method, request, options);
  }

  /** @returns the revision of the write, as all that write do */
  async put(key: string | Uint8Array, value: string | Uint8Array, lease?: string): Promise<number> {
    const { header } = await this.call(put, { key: raw(key), value: raw(value), lease });
    return header!.revision;
  }

  async delete(key: string | Uint8Array): Promise<number> {
    const { header } = await this.call(deleteRange, { key: raw(key) });
    return header!.revision;
  }

  async deleteAll(prefix: string): Promise<number> {
    const { header } = await this.call(deleteRange, { key: raw(prefix), rangeEnd: prefixEnd(raw(prefix)) });
    return header!.revision;
  }

  /** All of them at one revision. */
  async txn(operations: readonly Operation[]): Promise<number> {
    const success = operations.map(({ key, value }) => ({
      request:
        value === undefined
          ? ({ $case: "requestDeleteRange", value: { key: raw(key) } } as const)
          : ({ $case: "requestPut", value: { key: raw(key), value: raw(value) } } as const),
    }));
    const { header } = await this.call(txn, { compare: [], success, failure: [] });
    return header!.revision;
  }

  /** Discards what was before `revision`, the current one by default. @returns that revision */
  async compact(revision?: number): Promise<number> {
    const at = revision ?? (await this.revision());
    await this.call(compact, { revision: at, physical: true });
    return at;
  }

  async revision(): Promise<number> {
    const { header } = await this.call(range, { key: raw("\0"), keysOnly: true });
    return header.revision;
  }

  /** What is held under `prefix`, by full keys. */
  async all(prefix: string): Promise<Map<string, Held>> {
    const { kvs } = await this.call(range, { key: raw(prefix), rangeEnd: prefixEnd(raw(prefix)) });
    return new Map(
      kvs.map(({ key, value, modRevision, createRevision }) => [
        key,
        { value: decoder.decode(value), revision: modRevision, createRevision },
      ]),
    );
  }

  async get(key: string): Promise<Held | undefined> {
    const { kvs } = await this.call(range, { key: raw(key) });
    const found = kvs[0];
    if (found === undefined) return undefined;
    return { value: decoder.decode(found.value), revision: found.modRevision, createRevision: found.createRevision };
  }

  /** @returns the id of a lease that nobody keeps alive */
  async grant(seconds: number): Promise<string> {
    const { id } = await this.call(leaseGrant, { ttl: seconds });
    return id;
  }

  async revoke(id: string): Promise<void> {
    await this.call(leaseRevoke, { id });
  }

  /** The seconds a lease has left; -1 for one that is no more. */
  async ttl(id: string): Promise<number> {
    const { ttl } = await this.call(leaseTimeToLive, { id });
    return ttl;
  }

  /** @returns a token of a user */
  async authenticate({ username: name, password }: User): Promise<string> {
    const { token } = await this.call(authenticate, { name, password });
    return token;
  }

  /** The server's counters: the sum of all samples of `name` whose labels contain `labels`. */
  async metric(name: string, labels = ""): Promise<number> {
    const lines = (await metricsOf(this.endpoint)).split("\n").filter((line) => line.startsWith(name));
    const samples = lines.filter((line) => /^[ {]/.test(line.slice(name.length)) && line.includes(labels));
    return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  }

  /** How many calls of `method`, such as `Range`, the server has got so far. */
  calls(method: string): Promise<number> {
    return this.metric("grpc_server_started_total", `grpc_method="${method}"`);
  }

  /** How many watches the server has. */
  watchers(): Promise<number> {
    return this.metric("etcd_debugging_mvcc_watcher_total");
  }

  /** How many watch streams the server has. */
  streams(): Promise<number> {
    return this.metric("etcd_debugging_mvcc_watch_stream_total");
  }

  [Symbol.dispose](): void {
    this.#transport.close();
  }
}

async function metricsOf(endpoint: string): Promise<string> {
  const sent = httpRequest(`${endpoint}/metrics`, { agent: false });
  sent.end();
  const [response] = (await once(sent, "response")) as [AsyncIterable<Buffer>];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** One server for all tests of a suite, with its store. */
export interface Fixture {
  readonly etcd: EtcdServer;
  readonly store: Store;
}

/**
 * Starts a server before the tests of the suite that this is called in, and ends it after them. A function gives its
 * options when it starts.
 */
export function useEtcd(options?: EtcdOptions | (() => EtcdOptions)): Fixture {
  let etcd!: EtcdServer;
  let store!: Store;
  beforeAll(async () => {
    etcd = await startEtcd(typeof options === "function" ? options() : options);
    store = new Store(etcd.endpoint);
  });
  afterAll(async () => {
    store?.[Symbol.dispose]();
    await etcd?.[Symbol.asyncDispose]();
  });
  return {
    get etcd() {
      return etcd;
    },
    get store() {
      return store;
    },
  };
}

let prefixes = 0;

/** A prefix that no other test of the file uses. */
export function freshPrefix(): string {
  return `test-${++prefixes}/`;
}
