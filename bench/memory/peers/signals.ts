import { effect, signal } from "@preact/signals-core";
import { Slot } from "./slot.ts";
import type { State } from "./state.ts";

/**
 * Its effects run for each value unless sets are batched, so each has a slot. Setting what is equal to the current
 * value does nothing: it cannot tell that something was set again.
 */
export function signals(): State {
  const state = signal(0);
  return {
    set(value) {
      state.value = value;
    },
    watch: () => new Slot((put) => effect(() => put(state.value))),
  };
}
