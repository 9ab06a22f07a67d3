/** The keyspace of an etcd cluster: endpoints, credentials, and what is opened from it. */
import { keyspaceClosed } from "../errors.ts";
import { checkOptions, type Known, mustBe } from "../internal/arguments.ts";
import { asyncDisposable } from "../internal/dispose.ts";
import type { Status } from "../keyspace.ts";
import { checkMs } from "../keyspace/arguments.ts";
import { StoreKeyspace } from "../keyspace/store-keyspace.ts";
import type { Watchable } from "../watchable.ts";
import { Client } from "./client.ts";
import { Commits } from "./commits.ts";
import { parseEndpoints } from "./endpoint.ts";
import { Health } from "./health.ts";
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
export class EtcdKeyspace extends StoreKeyspace {
  readonly status: Watchable<Status>;
  readonly #client: Client;
  readonly #context: SourceContext;
  readonly #leases: Leases;
  readonly #closing: AbortController;
  #closed: Promise<void> | undefined;

  static {
    asyncDisposable(EtcdKeyspace.prototype, "close");
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
    const closing = new AbortController();
    const context: SourceContext = { client, stream, names, health, feeds: new Set(), closing: closing.signal };
    const leases = new Leases(client);
    const commits = new Commits(client, names);
    super({
      source: (extent) =>
        new RangeSource(
          "key" in extent ? { key: names.toStore(extent.key), rangeEnd: undefined } : names.range(extent.range),
          context,
        ),
      commit: async (commit, signal) => {
        closing.signal.throwIfAborted();
        return commits.make(commit, signal);
      },
      grant: async (ttlMs, signal) => {
        closing.signal.throwIfAborted();
        return leases.grant(ttlMs, signal);
      },
      closed: closing.signal,
    });
    this.#client = client;
    this.#context = context;
    this.#leases = leases;
    this.#closing = closing;
    this.status = health.status;
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    const { feeds, health } = this.#context;
    this.#closing.abort(keyspaceClosed());
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
