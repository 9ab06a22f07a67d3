/** What is recorded of a round: a line of JSON for each thing that a watcher was told, in the order it was told. */

/** What the keys begin with that the library writes. */
export const own = "own/";

/** A change of a key, small enough to be written by the million. */
export type Change =
  | {
      readonly type: "put";
      readonly key: string;
      readonly value: string;
      readonly at: number;
      readonly created: number;
    }
  | { readonly type: "delete"; readonly key: string; readonly at: number };

/** A watcher was opened, of the keys from `start` up to `end`. */
export interface Opened {
  readonly what: "opened";
  readonly watcher: number;
  readonly keyspace: number;
  readonly how: string;
  readonly start: string;
  readonly end: string;
  /** Of a key whose values come without revisions. */
  readonly plain?: boolean;
}

/** A `get` or `getBatch`, begun at `asked` by the machine's monotonic clock (ms), was answered. */
export interface Delivered {
  readonly what: "delivered";
  readonly watcher: number;
  readonly asked: number;
  readonly changes: readonly Change[];
  /** Of a batch. */
  readonly batch?: { readonly type: "snapshot" | "update"; readonly revision: number };
}

/** A value without a revision; null: the key is absent. */
export interface Told {
  readonly what: "told";
  readonly watcher: number;
  readonly value: string | null;
}

/** A pass over a live map, in which nothing was awaited. */
export interface Passed {
  readonly what: "passed";
  readonly watcher: number;
  /** The map's. */
  readonly revision: number;
  readonly values: { readonly [key: string]: string };
}

/** What came of a write by the library. Each has a name of its own, which the value that it wrote ends with. */
export interface Wrote {
  readonly what: "wrote";
  readonly keyspace: number;
  readonly name: string;
  readonly keys: readonly string[];
  /** What the library says: it was made, or not, or that cannot be told. */
  readonly outcome: "made" | "refused" | "unclear";
  /** Of a write that was made. */
  readonly revision?: number;
}

/** No write of the library is under way, nor will one be until it is told to go on. */
export interface Rests {
  readonly what: "rests";
}

export interface Closed {
  readonly what: "closed";
  readonly watcher: number;
}

/** Something failed that must not. */
export interface Failed {
  readonly what: "failed";
  readonly watcher: number;
  readonly message: string;
}

export interface StatusChanged {
  readonly what: "status";
  readonly keyspace: number;
  readonly state: string;
  readonly at: number;
}

/** What the process holds, after garbage was collected. */
export interface Measured {
  readonly what: "measured";
  /** Bytes of the heap and of buffers beside it. */
  readonly bytes: number;
  /** How many keys and ranges are watched, each by one watch of the server. */
  readonly watches: number;
}

export type Recorded = Opened | Delivered | Told | Passed | Wrote | Rests | Closed | Failed | StatusChanged | Measured;

/** What the process that watches is told to do, a line of JSON each. */
export type Command =
  | { readonly do: "measure" }
  | { readonly do: "calm"; readonly calm: boolean }
  | { readonly do: "write"; readonly write: boolean }
  | { readonly do: "finish" };

/** How a keyspace is opened: by its defaults, or with times that are short. */
export interface KeyspaceSetting {
  readonly endpoints: readonly string[];
  readonly staleAfterMs?: number;
  readonly requestTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
  readonly keepAliveMs?: number;
  readonly keepAliveTimeoutMs?: number;
}

/** What the process that watches is started with. */
export interface Subject {
  readonly seed: number;
  readonly namespace: string;
  readonly auth: { readonly username: string; readonly password: string };
  /** The options of each keyspace, besides those above. */
  readonly keyspaces: readonly KeyspaceSetting[];
}

/** The machine's monotonic clock, which all processes share, in milliseconds. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

/** Values are long, and recorded by their first word and their length. */
export function short(value: string): string {
  const space = value.indexOf(" ");
  return `${space < 0 ? value : value.slice(0, space)}/${value.length}`;
}
