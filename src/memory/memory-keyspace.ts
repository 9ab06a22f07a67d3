import { checkOptions, mustBe } from "../internal/arguments.ts";
import { asyncDisposable } from "../internal/dispose.ts";
import type { Status } from "../keyspace.ts";
import { StoreKeyspace } from "../keyspace/store-keyspace.ts";
import type { Watchable, Watcher, WatchOptions } from "../watchable.ts";
import { MemoryConnection } from "./memory-connection.ts";
import { MemoryStore } from "./memory-store.ts";
import { Namespace } from "./namespace.ts";

/** Options of {@link MemoryKeyspace}. */
export interface MemoryKeyspaceOptions {
  /** Another one, whose keys this one has too: two clients of one store. @defaultValue none, a store of its own */
  readonly sharing?: MemoryKeyspace | undefined;
  /** A literal prefix of all keys, put before them and taken off again everywhere. @defaultValue none */
  readonly namespace?: string | undefined;
}

/**
 * Keys and values in this process, with all that a keyspace promises: revisions, conditional writes, transactions,
 * leases that expire, ranges, live maps, elections. What works with it works with `EtcdKeyspace`: values go through their
 * codec, in and out, transactions are limited as etcd limits them, and what is decoded is shared by all watchers.
 *
 * Closing it closes its watchers and revokes its leases. Its keys are there as long as a keyspace that shares them is.
 *
 * @example
 * ```ts
 * import { json, MemoryKeyspace } from "event-value";
 *
 * const keyspace = new MemoryKeyspace();
 * const limit = keyspace.value("limits/requests", json<number>(), { default: 100 });
 * using watcher = limit.watch();
 * console.log(await watcher.get()); // 100
 * await limit.update((current) => current * 2);
 * console.log(await watcher.get()); // 200
 * await keyspace.close();
 * ```
 */
export class MemoryKeyspace extends StoreKeyspace {
  readonly status: Watchable<Status>;
  readonly #connection: MemoryConnection;

  static {
    asyncDisposable(MemoryKeyspace.prototype, "close");
  }

  constructor(options?: MemoryKeyspaceOptions);
  /** @internal */
  constructor(connection: MemoryConnection);
  constructor(given?: MemoryKeyspaceOptions | MemoryConnection) {
    const connection = given instanceof MemoryConnection ? given : connect(given);
    super(connection);
    this.#connection = connection;
    this.status = { watch: (options?: WatchOptions): Watcher<Status> => connection.status.watch(options) };
  }

  /** @internal */
  get store(): MemoryStore {
    return this.#connection.store;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

function connect(options: MemoryKeyspaceOptions | undefined): MemoryConnection {
  checkOptions(options, { sharing: "any", namespace: "string" }, "new MemoryKeyspace()");
  const { sharing, namespace = "" } = options ?? {};
  if (sharing !== undefined && !(sharing instanceof MemoryKeyspace)) {
    throw mustBe("sharing", "a MemoryKeyspace", sharing);
  }
  return new MemoryConnection(sharing?.store ?? new MemoryStore(), new Namespace(namespace));
}
