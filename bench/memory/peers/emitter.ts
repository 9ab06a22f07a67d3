import { EventEmitter } from "node:events";
import { Slot } from "./slot.ts";
import type { State } from "./state.ts";

/** It has no state, so that is kept beside it; and calls listeners back for each value, so each has a slot. */
export function emitter(): State {
  const changes = new EventEmitter().setMaxListeners(0);
  let current = 0;
  return {
    set(value) {
      current = value;
      changes.emit("change", value);
    },
    watch: () =>
      new Slot((put) => {
        put(current);
        changes.on("change", put);
        return () => changes.off("change", put);
      }),
  };
}
