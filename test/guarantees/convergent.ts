import type { Held } from "../proof/history.ts";
import { Broken, difference, type Guarantee, type WatcherView } from "./guarantee.ts";

/** C2, K5: in the end everybody knows what is. */
const convergent: Guarantee = {
  name: "convergent",
  promise: "C2 nothing final is lost: after the faults every watcher holds exactly the store's state",
};

/** What keeps a watcher from knowing the state there is; undefined where nothing does. */
export function behind(view: WatcherView, state: ReadonlyMap<string, Held>): string | undefined {
  const { start, end } = view;
  return difference(view.replica, new Map([...state].filter(([key]) => key >= start && key < end)));
}

export function notConverged(view: WatcherView, what: string, boundMs: number): Broken {
  return new Broken(convergent, `watcher ${view.watcher} (${view.how}) after ${boundMs} ms: ${what}`);
}
