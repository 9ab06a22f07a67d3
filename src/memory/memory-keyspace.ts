import { checkOptions, mustBe } from "../internal/arguments.ts";
import { asyncDisposable } from "../internal/dispose.ts";
import type { Status } from "../keyspace.ts";
import { StoreKeyspace } from "../keyspace/store-keyspace.ts";
import type { Watchable, Watcher, WatchOptions } from "../watchable.ts";
import { MemoryConnection } from "./memory-connection.ts";
import { MemoryStore } from "./memory-store.ts";

/** Options of {@link MemoryKeyspace}. */
export interface MemoryKeyspaceOptions {
  /** Another one, whose keys this one has too: two clients of one store. @defaultValue none, a store of its own */
  readonly sharing?: MemoryKeyspace | undefined;
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

  constructor(options?: MemoryKeyspaceOptions) {
    checkOptions(options, { sharing: "any" }, "new MemoryKeyspace()");
    const sharing = options?.sharing;
    if (sharing !== undefined && !(sharing instanceof MemoryKeyspace)) {
      throw mustBe("sharing", "a MemoryKeyspace", sharing);
    }
    const connection = new MemoryConnection(sharing === undefined ? new MemoryStore() : sharing.#connection.store);
    super(connection);
    this.#connection = connection;
    this.status = { watch: (watchOptions?: WatchOptions): Watcher<Status> => connection.status.watch(watchOptions) };
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
