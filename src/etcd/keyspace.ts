/** The keyspace of an etcd cluster: endpoints, credentials, and what is opened from it. */
import type { Codec, Decode } from "../codec.ts";
import { EventValueError } from "../errors.ts";
import { checkOptions, checkValue, type Known, mustBe } from "../internal/arguments.ts";
import { mostMs } from "../internal/backoff.ts";
import { asyncDisposable } from "../internal/dispose.ts";
import type {
  Keyspace,
  KeyRange,
  KeyValue,
  Lease,
  LeaseOptions,
  RangeSelector,
  ReadableKeyRange,
  ReadableKeyValue,
  Status,
} from "../keyspace.ts";
import type { Absence } from "../range/watchers.ts";
import type { Watchable } from "../watchable.ts";
import { Client } from "./client.ts";
import { parseEndpoints } from "./endpoint.ts";
import { Health } from "./health.ts";
import { EtcdKeyRange, EtcdReadableKeyRange } from "./key-range.ts";
import { EtcdKeyValue, EtcdReadableKeyValue } from "./key-value.ts";
import { Leases } from "./lease.ts";
import { KeyNames } from "./namespace.ts";
import { RangeSource, type SourceContext } from "./range-source.ts";
import type { TlsOptions } from "./transport.ts";
import { WatchStream } from "./watch-stream.ts";

/** Options of {@link EtcdKeyspace}. */
export interface EtcdKeyspaceOptions {
  /** `http://host:port` or `https://host:port` of each member; another is asked when one fails. */
  readonly endpoints: string | readonly string[];
  /** A literal prefix of all keys, put before them and taken off again everywhere. @defaultValue none */
  readonly namespace?: string | undefined;
  readonly auth?: { readonly username: string; readonly password: string } | undefined;
  /** Certificates in PEM form: who may have signed the servers', and the client's own. */
  readonly tls?: TlsOptions | undefined;
  /** `status` says `stale` no later than this after the store was reached last. @defaultValue 15000 */
  readonly staleAfterMs?: number | undefined;
  /** How long connecting to a member may take. @defaultValue 2000 */
  readonly connectTimeoutMs?: number | undefined;
  /** How long a member may take to answer a call before another one is asked. @defaultValue 10000 */
  readonly requestTimeoutMs?: number | undefined;
  /** A connection that is silent for so long is probed. At least 5000, as etcd refuses more. @defaultValue 10000 */
  readonly keepAliveMs?: number | undefined;
  /** How long such a probe may go unanswered before the connection counts as broken. @defaultValue 3000 */
  readonly keepAliveTimeoutMs?: number | undefined;
}

const timeouts = {
  staleAfterMs: 15_000,
  connectTimeoutMs: 2000,
  requestTimeoutMs: 10_000,
  keepAliveMs: 10_000,
  keepAliveTimeoutMs: 3000,
};
const known: Known = {
  endpoints: "any",
  namespace: "string",
  auth: "any",
  tls: "any",
  ...Object.fromEntries(Object.keys(timeouts).map((name) => [name, "number"] as const)),
};

/**
 * Keys and values in an etcd cluster (3.4 and newer), watched over one stream.
 *
 * Nothing is connected before something is asked for. Lost connections are nobody's business: watchers resume where
 * they were, on any member, and get what they missed; `status` tells. etcd's gRPC proxy is not supported, as it does not
 * forward what fresh reads need.
 *
 * @throws `TypeError`, `RangeError` at the call, naming the option that is wrong.
 *
 * @example
 * ```ts
 * import { json } from "event-value";
 * import { EtcdKeyspace } from "event-value/etcd";
 *
 * const keyspace = new EtcdKeyspace({ endpoints: "http://127.0.0.1:2379", namespace: "example/" });
 * const limit = keyspace.value("limits/requests", json<number>(), { default: 100 });
 * const watcher = limit.watch();
 * console.log(await watcher.get()); // 100
 * await limit.set(200);
 * console.log(await watcher.get()); // 200
 * await limit.delete();
 * await keyspace.close();
 * ```
 */
export class EtcdKeyspace implements Keyspace {
  declare [Symbol.asyncDispose]: () => Promise<void>;
  readonly status: Watchable<Status>;
  readonly #client: Client;
  readonly #context: SourceContext;
  readonly #leases: Leases;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  static {
    asyncDisposable(EtcdKeyspace.prototype);
  }

  constructor(options: EtcdKeyspaceOptions) {
    if (options === undefined) throw mustBe("new EtcdKeyspace(): options", "an object", options);
    checkOptions(options, known, "new EtcdKeyspace()");
    const { namespace = "", auth, tls } = options;
    checkOptions(auth, { username: "string", password: "string" }, "auth");
    checkOptions(tls, { ca: "any", cert: "any", key: "any", serverName: "string" }, "tls");
    if (auth !== undefined) {
      for (const name of ["username", "password"] as const) {
        if (typeof auth[name] !== "string") throw mustBe(`auth.${name}`, "a string", auth[name]);
      }
    }
    const { staleAfterMs, ...connecting } = readTimeouts(options);
    const names = new KeyNames(namespace);
    const client = new Client({
      endpoints: parseEndpoints(options.endpoints, tls !== undefined),
      auth,
      tls,
      ...connecting,
    });
    const stream = new WatchStream(client);
    const health = new Health(client, names.range("").key, staleAfterMs);
    client.onFailure = (error, transport) => {
      health.failed(error);
      stream.doubt(transport, error);
    };
    this.#client = client;
    this.#context = { client, stream, names, health, feeds: new Set(), closing: this.#closing.signal };
    this.#leases = new Leases(client);
    this.status = health.status;
  }

  value<T>(key: string, codec: Codec<T>, options: { readonly default: NoInfer<T> }): KeyValue<T, never>;
  value<T>(key: string, codec: Codec<T>): KeyValue<T>;
  value<T>(key: string, decode: Decode<T>, options: { readonly default: NoInfer<T> }): ReadableKeyValue<T, never>;
  value<T>(key: string, decode: Decode<T>): ReadableKeyValue<T>;
  value<T>(key: string, coding: Codec<T> | Decode<T>, options?: { readonly default: T }): unknown {
    const range = { key: this.#context.names.toStore(key), rangeEnd: undefined };
    checkOptions(options, { default: "any" }, "value()");
    checkValue(options?.default);
    const absence: Absence<T> = options !== undefined && "default" in options ? { value: options.default } : undefined;
    const source = new RangeSource(range, this.#context);
    if (typeof coding === "function") return new EtcdReadableKeyValue(key, source, coding, absence);
    checkCodec(coding);
    return new EtcdKeyValue(key, source, coding, absence);
  }

  range<T>(range: RangeSelector, codec: Codec<T>): KeyRange<T>;
  range<T>(range: RangeSelector, decode: Decode<T>): ReadableKeyRange<T>;
  range<T>(range: RangeSelector, coding: Codec<T> | Decode<T>): unknown {
    const source = new RangeSource(this.#context.names.range(range), this.#context);
    if (typeof coding === "function") return new EtcdReadableKeyRange(source, coding);
    checkCodec(coding);
    return new EtcdKeyRange(source, coding);
  }

  lease(options: LeaseOptions): Promise<Lease> {
    if (options === undefined) throw mustBe("lease(): options", "an object", options);
    checkOptions(options, { ttlMs: "number", signal: "AbortSignal" }, "lease()");
    checkMs(options.ttlMs, "lease(): ttlMs");
    return this.#leases.grant(options.ttlMs, options.signal);
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    const { feeds, health } = this.#context;
    this.#closing.abort(new EventValueError("EV_CLOSED", "the keyspace is closed"));
    health.close();
    for (const feed of feeds) feed.end();
    await this.#leases.close();
    this.#client.close();
  }
}

function readTimeouts(options: EtcdKeyspaceOptions): typeof timeouts {
  const read = { ...timeouts };
  for (const name of Object.keys(timeouts) as (keyof typeof timeouts)[]) {
    const given = options[name];
    if (given === undefined) continue;
    checkMs(given, name);
    read[name] = given;
  }
  return read;
}

function checkMs(ms: unknown, what: string): void {
  if (typeof ms !== "number") throw mustBe(what, "a number of milliseconds", ms);
  if (!(ms > 0 && ms <= mostMs)) throw new RangeError(`${what} must be more than 0 and at most ${mostMs}, not ${ms}`);
}

function checkCodec(given: unknown): void {
  const codec = given as Partial<Codec<unknown>> | null | undefined;
  if (typeof codec?.decode !== "function" || typeof codec.encode !== "function") {
    throw mustBe("codec", "a codec, or a decode function", given);
  }
}
