/**
 * Holds what watchers were delivered against the guarantees, as it comes: each delivery waits until the store's history
 * is known as far as it reaches, and is forgotten once it was looked at.
 */
import { atomic } from "../guarantees/atomic.ts";
import { behind } from "../guarantees/convergent.ts";
import { fresh } from "../guarantees/fresh.ts";
import {
  applied,
  Broken,
  describe,
  difference,
  eraWhere,
  type Known,
  type WatcherView,
} from "../guarantees/guarantee.ts";
import { noPhantom } from "../guarantees/no-phantom.ts";
import { noTimeTravel, travelled } from "../guarantees/no-time-travel.ts";
import { ordered } from "../guarantees/ordered.ts";
import { checkWrite } from "../guarantees/once.ts";
import { unique } from "../guarantees/unique.ts";
import { notWhole, type PlacedPass, placeOf } from "../guarantees/whole.ts";
import type { Held, Place, StoreHistory } from "./history.ts";
import type { Delivered, Opened, Passed, Recorded, Told, Wrote } from "./recording.ts";

const guarantees = [ordered, unique, noPhantom, noTimeTravel, fresh, atomic];

/** A watcher, with what it was delivered and has not been looked at. */
interface View extends WatcherView {
  replica: Map<string, Known>;
  reads: number;
  revision: number;
  stepsDown: number;
  era: number;
  open: boolean;
  readonly queue: (Delivered | Told | Passed)[];
  /** Of a live map: the last pass, and the life of the store that it is of. */
  passed: PlacedPass | undefined;
  /** Of a watcher of values without revisions: the last one, and where in the history it is. */
  told: string | null | undefined;
  place: Place | undefined;
  /** The last deliveries, for what is said where a guarantee is broken. */
  readonly last: string[];
}

export class Judge {
  readonly #history: StoreHistory;
  readonly #views = new Map<number, View>();
  /** Writes of the library that were not looked at, with the life of the store in which each was told of. */
  readonly #writes: { readonly wrote: Wrote; readonly era: number }[] = [];
  /** What was found to be broken, as text. */
  readonly violations: string[] = [];
  /** How many deliveries were looked at. */
  judged = 0;
  /** How many writes of the library, by what it said of them. */
  readonly written: Record<Wrote["outcome"], number> = { made: 0, refused: 0, unclear: 0 };
  /** While the store goes from one life to another nobody can say what is right. */
  held = false;

  constructor(history: StoreHistory) {
    this.#history = history;
  }

  take(recorded: Recorded): void {
    if (recorded.what === "opened")
      this.#views.set(recorded.watcher, viewOf(recorded, Math.max(0, this.#history.eras - 1)));
    else if (recorded.what === "failed") {
      const { how } = this.#views.get(recorded.watcher)!;
      this.violations.push(`K9: a get of watcher ${recorded.watcher} (${how}) failed: ${recorded.message}`);
    } else if (recorded.what === "wrote") {
      this.#writes.push({ wrote: recorded, era: this.#history.eras - 1 });
    } else if (recorded.what === "delivered" || recorded.what === "told" || recorded.what === "passed") {
      this.#views.get(recorded.watcher)!.queue.push(recorded);
    } else if (recorded.what === "closed") this.#views.get(recorded.watcher)!.open = false;
  }

  /** Looks at all that can be judged by now. */
  judge(): void {
    if (this.held) return;
    for (const [id, view] of this.#views) {
      let done = 0;
      while (done < view.queue.length && this.#judgeOne(view, view.queue[done]!)) done++;
      view.queue.splice(0, done);
      if (!view.open && view.queue.length === 0) this.#views.delete(id);
    }
  }

  /** Why an open watcher does not know just `state`; undefined where all do. */
  behind(state: ReadonlyMap<string, Held>): { readonly view: WatcherView; readonly what: string } | undefined {
    for (const view of this.#views.values()) {
      if (!view.open) continue;
      const what =
        view.plain === true ? toldOtherThan(view, state) : (behind(view, state) ?? passedOtherThan(view, state));
      if (what !== undefined) return { view, what };
      if (view.queue.length > 0) return { view, what: "deliveries that nobody can judge" };
    }
    return undefined;
  }

  /** Looks at the writes of the library, of which none is under way. The history is complete. */
  judgeWrites(): void {
    for (const { wrote, era } of this.#writes.splice(0)) {
      this.written[wrote.outcome]++;
      this.#hold(() => checkWrite(wrote, this.#history, [era]));
    }
  }

  /** Everybody knows the state there is, so nobody can be told of an older life of the store any more. */
  converged(): void {
    const era = this.#history.eras - 1;
    for (const view of this.#views.values()) view.era = era;
  }

  /** What is left in the end has no place in the history, though all of that is known. */
  finish(): void {
    this.judge();
    for (const view of this.#views.values()) {
      const [next] = view.queue;
      if (next === undefined) continue;
      if (next.what === "told") this.#broken(travelled(view.start, next.value), view);
      else if (next.what === "passed") this.#broken(notWhole(next, view.passed), view);
      else
        this.violations.push(`no phantom: watcher ${view.watcher} (${view.how}) is ahead of the store: ${show(next)}`);
    }
  }

  #judgeOne(view: View, next: Delivered | Told | Passed): boolean {
    if (next.what === "passed") {
      const era = placeOf(view, view.passed, next, this.#history);
      if (era !== undefined) view.passed = { ...next, era };
      else if (next.revision > this.#history.revision) return false;
      else this.#broken(notWhole(next, view.passed), view);
    } else if (next.what === "told") {
      const place = this.#history.next(view.start, next.value, view.place);
      if (place === undefined) return false;
      view.place = place;
      view.told = next.value;
    } else {
      const reach = Math.max(next.batch?.revision ?? 0, ...next.changes.map(({ at }) => at));
      if (reach > this.#history.revision && !this.#isOfOld(view, next)) return false;
      this.#check(view, next);
    }
    this.judged++;
    return true;
  }

  /** Whether it is what an older life of the store had come to; of that all is known. */
  #isOfOld(view: View, { changes, batch }: Delivered): boolean {
    const { start, end } = view;
    for (let era = view.era; era < this.#history.eras - 1; era++) {
      const isOf =
        batch === undefined
          ? changes.every((change) =>
              change.type === "delete"
                ? this.#history.held(era, change.key, change.at) === undefined
                : this.#history.written(era, change.key, change.at)?.value === change.value,
            )
          : difference(applied(view.replica, changes), this.#history.state(era, batch.revision, start, end)) ===
            undefined;
      if (isOf) return true;
    }
    return false;
  }

  #check(view: View, delivered: Delivered): void {
    if (view.last.push(show(delivered)) > 6) view.last.shift();
    for (const guarantee of guarantees) this.#hold(() => guarantee.check(view, delivered, this.#history), view);
    const { changes, batch } = delivered;
    view.replica = applied(view.replica, changes);
    for (const revision of [...changes.map(({ at }) => at), ...(batch === undefined ? [] : [batch.revision])]) {
      if (revision < view.revision) view.stepsDown++;
      view.revision = revision;
    }
    view.reads++;
    // Beyond the present life of the store there is none to have come to.
    if (batch === undefined || view.era >= this.#history.eras - 1) return;
    const { start, end } = view;
    view.era =
      eraWhere(view, this.#history, (era) => {
        const state = this.#history.state(era, batch.revision, start, end);
        return behind(view, state) === undefined;
      }) ?? view.era;
  }

  /** Notes where a check finds something broken. */
  #hold(check: () => void, view?: View): void {
    try {
      check();
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      this.#broken(error, view);
    }
  }

  #broken(error: Broken, view?: View): void {
    // The first few tell; what follows from them would hide them.
    if (this.violations.length >= 20) return;
    if (view === undefined) {
      this.violations.push(error.message);
      return;
    }
    const { watcher, keyspace, how, start, end, last } = view;
    const who = `watcher ${watcher} of keyspace ${keyspace} (${how}, ${JSON.stringify(start)} to ${JSON.stringify(end)})`;
    this.violations.push(`${error.message}\n  ${who}, last told:\n    ${last.join("\n    ")}`);
  }
}

function viewOf(opened: Opened, era: number): View {
  return {
    ...opened,
    replica: new Map(),
    reads: 0,
    revision: 0,
    stepsDown: 0,
    era,
    open: true,
    queue: [],
    told: undefined,
    passed: undefined,
    place: era === 0 ? undefined : { era, index: -2 },
    last: [],
  };
}

function toldOtherThan({ told, start }: View, state: ReadonlyMap<string, Held>): string | undefined {
  const holds = state.get(start)?.value ?? null;
  return told === holds ? undefined : `${start} was last told to be ${told}, and is ${holds}`;
}

function passedOtherThan({ passed, start, end }: View, state: ReadonlyMap<string, Held>): string | undefined {
  if (passed === undefined) return undefined;
  const held = [...state].filter(([key]) => key >= start && key < end);
  const same =
    held.length === Object.keys(passed.values).length && held.every(([key, { value }]) => passed.values[key] === value);
  return same ? undefined : `the map was last seen at ${passed.revision}, and is not what the store holds`;
}

function show({ changes, batch }: Delivered): string {
  const what = batch === undefined ? "" : `${batch.type} at ${batch.revision}: `;
  return what + changes.map(describe).join("; ").slice(0, 500);
}
