import type { StoreHistory } from "../proof/history.ts";
import type { Passed } from "../proof/recording.ts";
import { Broken, eraWhere, type Guarantee, type WatcherView } from "./guarantee.ts";

/** A live map is a state that the store has been in, whenever it is looked at. */
const whole: Guarantee = {
  name: "whole",
  promise: "a live map is always a state the store has been in, whole revisions only, and never goes back",
};

/** A pass over a live map, and the life of the store that it is of, at the least. */
export interface PlacedPass extends Passed {
  readonly era: number;
}

/**
 * Where a pass over a live map stands in the store's history, not before the last one; undefined where it has no place
 * there, so far.
 */
export function placeOf(
  view: WatcherView,
  last: PlacedPass | undefined,
  { revision, values }: Passed,
  history: StoreHistory,
): number | undefined {
  const { start, end } = view;
  const keys = Object.keys(values);
  return eraWhere(view, history, (era) => {
    if (last !== undefined && (era < last.era || (era === last.era && revision < last.revision))) return false;
    const state = history.state(era, revision, start, end);
    return keys.length === state.size && keys.every((key) => state.get(key)?.value === values[key]);
  });
}

export function notWhole({ revision, values }: Passed, last: PlacedPass | undefined): Broken {
  const after = last === undefined ? "" : ` after that at ${last.revision}`;
  const seen = JSON.stringify(values).slice(0, 400);
  return new Broken(whole, `a pass at ${revision} is no state that the store was in${after}: ${seen}`);
}
