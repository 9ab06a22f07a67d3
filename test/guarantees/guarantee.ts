/** What a checker is: it looks at what a watcher was delivered, and says when that breaks the guarantee it is named for. */
import type { StoreHistory } from "../proof/history.ts";
import type { Change, Delivered, Opened } from "../proof/recording.ts";

/** What a watcher has made known of a key to its consumer. */
export interface Known {
  readonly value: string;
  readonly created: number;
  readonly at: number;
}

/** A watcher as its consumer sees it: what it was delivered, put together. */
export interface WatcherView extends Opened {
  /** All that the consumer knows, before the delivery that is looked at. */
  readonly replica: ReadonlyMap<string, Known>;
  /** How many reads were delivered before. */
  readonly reads: number;
  /** Of the last change or batch. */
  readonly revision: number;
  /** How often revisions have stepped down. */
  readonly stepsDown: number;
  /** The life of the store that the watcher has come to, at the least. */
  readonly era: number;
}

/** How a guarantee was broken. */
export class Broken extends Error {
  readonly guarantee: Guarantee;

  constructor(guarantee: Guarantee, what: string) {
    super(`${guarantee.name}: ${what}\n  broken: ${guarantee.promise}`);
    this.guarantee = guarantee;
  }
}

export interface Guarantee {
  readonly name: string;
  /** What is promised, quoted where it is broken. */
  readonly promise: string;
}

/** A guarantee that each delivery is held against, once the store's history is known that far. @throws {@link Broken} */
export interface DeliveryGuarantee extends Guarantee {
  check(view: WatcherView, delivered: Delivered, history: StoreHistory): void;
}

/** The first life of the store, from the watcher's own on, for which `holds` says so; undefined where there is none. */
export function eraWhere(
  view: WatcherView,
  history: StoreHistory,
  holds: (era: number) => boolean,
): number | undefined {
  for (let era = view.era; era < history.eras; era++) if (holds(era)) return era;
  return undefined;
}

export function describe(change: Change): string {
  const value = change.type === "put" ? ` = ${change.value}, created at ${change.created}` : "";
  return `${change.type} of ${change.key} at ${change.at}${value}`;
}

/** `replica` after `changes`. */
export function applied(replica: ReadonlyMap<string, Known>, changes: readonly Change[]): Map<string, Known> {
  const result = new Map(replica);
  for (const change of changes) {
    if (change.type === "delete") result.delete(change.key);
    else result.set(change.key, { value: change.value, created: change.created, at: change.at });
  }
  return result;
}

/** What is different between what a consumer knows and what the store holds; undefined where nothing is. */
export function difference(
  known: ReadonlyMap<string, Known>,
  held: ReadonlyMap<string, { readonly value: string; readonly created: number }>,
): string | undefined {
  for (const [key, { value, created }] of held) {
    const has = known.get(key);
    if (has === undefined) return `${key} is missing, which holds ${value}, created at ${created}`;
    if (has.value !== value || has.created !== created) {
      return `${key} is ${has.value}, created at ${has.created}, and should be ${value}, created at ${created}`;
    }
  }
  for (const [key, { value, at }] of known) if (!held.has(key)) return `${key} = ${value} (told at ${at}) is gone`;
  return undefined;
}
