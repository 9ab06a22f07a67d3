/**
 * The one gRPC stream that all watches of a keyspace share.
 *
 * It is opened with the first watch and closed with the last. Watches are told of whole revisions only: fragments of
 * a response are put together before, as far as they are of one revision. A stream that fails ends all its watches
 * with `lost`; who watched decides where to resume, and the next `watch()` opens another stream.
 *
 * What the server does not promise, as measured on 3.4.23 and 3.5.16:
 *
 * - An answer to a create that failed carries no usable watch id (-1), so answers are matched to creates in order.
 * - 3.5 repeats the cancel of a compacted watch many times; a watch that has ended ignores the repeats.
 * - The header of a response with events tells the store's current revision, which may be beyond the events: only the
 *   events' own revisions tell how far a watch has come.
 */
import type { Access, Client } from "./client.ts";
import { isLate, lateError, refusalOf } from "./errors.ts";
import { watch as watchMethod } from "./proto/methods.ts";
import type { ResponseHeader, WatchRequest } from "./proto/generated/etcd.ts";
import type { WatchEvent, WatchMessage } from "./proto/hot-decoders.ts";
import type { Duplex, Transport, TransportError } from "./transport.ts";

/** What to watch: from `key` up to `rangeEnd`, or `key` alone, all events from `startRevision` on. */
export interface WatchSpec {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array | undefined;
  readonly startRevision: number;
}

/** What a watch is told. After `compacted`, `refused` or `lost` it has ended. */
export interface WatchHandlers {
  /** The server watches. The header is that of the member, which may lag. */
  created(header: ResponseHeader): void;
  /** Whole revisions, in order. They may begin before `startRevision`, after a fail-over to a lagging member. */
  events(events: readonly WatchEvent[]): void;
  /** Nothing up to `revision` is missing. It may be before what is known, for a watch that starts in the future. */
  progress(revision: number): void;
  /** The events from `startRevision` on are not to be had any more. */
  compacted(): void;
  /** The server refuses the watch; `access` is what it was asked with. */
  refused(reason: TransportError, access: Access): void;
  /** The stream failed. */
  lost(error: unknown): void;
}

/** A watch on the stream. */
class Watch {
  readonly spec: WatchSpec;
  readonly handlers: WatchHandlers;
  /** Given by the server; undefined until then. */
  id: number | undefined = undefined;
  ended = false;
  /** What has come of a response in parts and was not handed on: events of one revision. */
  fragments: WatchEvent[] | undefined = undefined;
  readonly #canceled: (watch: Watch) => void;

  constructor(spec: WatchSpec, handlers: WatchHandlers, canceled: (watch: Watch) => void) {
    this.spec = spec;
    this.handlers = handlers;
    this.#canceled = canceled;
  }

  cancel(): void {
    this.#canceled(this);
  }
}

/** One opened stream, with the watches on it. */
interface Open {
  readonly access: Access;
  readonly duplex: Duplex<WatchRequest>;
  /** Watches the server was asked for and has not answered, in the order of the requests. */
  readonly asked: Watch[];
  readonly byId: Map<number, Watch>;
  /** Runs while a request is unanswered, from the last thing that the server said. */
  silence: NodeJS.Timeout | undefined;
}

/** What is there is read within this. */
const graceMs = 100;

export class WatchStream {
  readonly #client: Client;
  /** All watches that have not ended. */
  readonly #watches = new Set<Watch>();
  #open: Open | undefined;
  #opening = false;

  constructor(client: Client) {
    this.#client = client;
  }

  /** How many watches there are, for tests. */
  get size(): number {
    return this.#watches.size;
  }

  /** Starts a watch. What is returned ends it; no handler is called afterwards. */
  watch(spec: WatchSpec, handlers: WatchHandlers): { cancel(): void } {
    const watch = new Watch(spec, handlers, this.#cancel);
    this.#watches.add(watch);
    if (this.#open !== undefined) this.#create(this.#open, watch);
    else if (!this.#opening) void this.#openStream();
    return watch;
  }

  /** Moves all watches to another stream, if they are on one that was opened with `access`. */
  abandon(access: Access, error: unknown): void {
    if (this.#open?.access === access) this.#lose(this.#open, error);
  }

  /**
   * A call to `transport` has failed. The stream stays with the member that calls go to, since it is by calls that a
   * silent member is found out; and where there is no other, one that does not answer in time gets another stream.
   */
  doubt(transport: Transport, error: TransportError): void {
    if (this.#open?.access.transport !== transport) return;
    if (isLate(error) || this.#client.current !== transport) this.#lose(this.#open, error);
  }

  async #openStream(): Promise<void> {
    this.#opening = true;
    let access: Access;
    try {
      access = await this.#client.access(this.#client.closed);
    } catch (error) {
      this.#opening = false;
      this.#endAll(error);
      return;
    }
    this.#opening = false;
    if (this.#watches.size === 0) return;
    const open: Open = {
      access,
      duplex: access.transport.duplex(
        watchMethod,
        { message: (message) => this.#message(open, message), end: (error) => this.#failed(open, error) },
        { token: access.token },
      ),
      asked: [],
      byId: new Map(),
      silence: undefined,
    };
    this.#open = open;
    for (const watch of this.#watches) this.#create(open, watch);
  }

  #create(open: Open, watch: Watch): void {
    open.asked.push(watch);
    if (open.silence === undefined) this.#awaitAnswer(open);
    const { key, rangeEnd, startRevision } = watch.spec;
    const value = { key, rangeEnd, startRevision, progressNotify: true, fragment: true, filters: [] };
    open.duplex.send({ requestUnion: { $case: "createRequest", value } });
  }

  readonly #cancel = (watch: Watch): void => {
    if (watch.ended) return;
    this.#end(watch);
    this.#closeIfUnused();
    if (this.#open !== undefined && watch.id !== undefined) this.#cancelId(this.#open, watch.id);
  };

  #closeIfUnused(): void {
    if (this.#watches.size > 0 || this.#open === undefined) return;
    this.#leave(this.#open);
  }

  /**
   * A member that takes calls but answers no create would leave the watch without a stream for ever. Whatever it says
   * counts: much can be on its way before the answer.
   */
  #awaitAnswer(open: Open): void {
    clearTimeout(open.silence);
    open.silence = undefined;
    if (open.asked.length === 0) return;
    const { requestTimeoutMs: ms } = this.#client;
    const silent = `a watch was not answered within ${ms} ms`;
    const fail = (): void => this.#failed(open, lateError("watch", silent));
    // Where the event loop stood still the answer may be there, and be read in the next moment.
    open.silence = setTimeout(() => (open.silence = setTimeout(fail, graceMs)), ms);
  }

  #cancelId(open: Open, watchId: number): void {
    open.byId.delete(watchId);
    open.duplex.send({ requestUnion: { $case: "cancelRequest", value: { watchId } } });
  }

  #message(open: Open, message: WatchMessage): void {
    if (message.created) this.#created(open, message);
    else this.#told(open, message);
    if (this.#open === open && open.silence !== undefined) this.#awaitAnswer(open);
  }

  #told(open: Open, message: WatchMessage): void {
    const watch = open.byId.get(message.watchId);
    if (watch === undefined) return;
    if (message.canceled) {
      this.#end(watch);
      // 3.5 repeats this until it is answered.
      this.#cancelId(open, message.watchId);
      if (message.compactRevision > 0) watch.handlers.compacted();
      else watch.handlers.refused(refusalOf(message.cancelReason), open.access);
      this.#closeIfUnused();
    } else if (message.fragment || watch.fragments !== undefined) {
      this.#part(watch, message);
    } else if (message.events.length > 0) watch.handlers.events(message.events);
    else watch.handlers.progress(message.header.revision);
  }

  /**
   * A fragment. Revisions ascend within a response, so only the last one of what has come can be incomplete. All
   * before it is handed on: a response can hold a thousand revisions, and what was missed in an hour.
   */
  #part(watch: Watch, { events: further, fragment }: WatchMessage): void {
    const events = (watch.fragments ??= []);
    // One at a time: a fragment can hold more events than a call can have arguments.
    for (const event of further) events.push(event);
    watch.fragments = undefined;
    if (!fragment) return watch.handlers.events(events);
    const last = events.at(-1)?.modRevision;
    let whole = events.length;
    if (events[0]?.modRevision === last) whole = 0;
    else while (events[whole - 1]?.modRevision === last) whole--;
    watch.fragments = events.splice(whole);
    if (whole > 0) watch.handlers.events(events);
  }

  #created(open: Open, message: WatchMessage): void {
    const watch = open.asked.shift();
    if (watch === undefined) return;
    if (message.canceled) {
      if (watch.ended) return;
      this.#end(watch);
      watch.handlers.refused(refusalOf(message.cancelReason), open.access);
      this.#closeIfUnused();
      return;
    }
    // Cancelled while the server had not answered yet.
    if (watch.ended) return this.#cancelId(open, message.watchId);
    watch.id = message.watchId;
    open.byId.set(message.watchId, watch);
    watch.handlers.created(message.header);
  }

  #failed(open: Open, error: TransportError): void {
    if (this.#open !== open) return;
    this.#client.leave(open.access.transport, error);
    if (this.#open === open) this.#lose(open, error);
  }

  #lose(open: Open, error: unknown): void {
    this.#leave(open);
    this.#endAll(error);
  }

  #leave(open: Open): void {
    this.#open = undefined;
    clearTimeout(open.silence);
    open.duplex.close();
  }

  #endAll(error: unknown): void {
    const watches = [...this.#watches];
    for (const watch of watches) this.#end(watch);
    for (const watch of watches) watch.handlers.lost(error);
  }

  #end(watch: Watch): void {
    watch.ended = true;
    watch.fragments = undefined;
    this.#watches.delete(watch);
  }
}
