import { MemoryValue } from "event-value";
import type { State } from "./state.ts";

export function eventValue(): State {
  return new MemoryValue({ initial: 0 });
}
