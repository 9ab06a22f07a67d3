import { BehaviorSubject } from "rxjs";
import { Slot } from "./slot.ts";
import type { State } from "./state.ts";

/** It calls subscribers back for each value, wanted or not; a slot for each conflates, and can be waited for. */
export function behaviorSubject(): State {
  const subject = new BehaviorSubject(0);
  return {
    set: (value) => subject.next(value),
    watch: () =>
      new Slot((put) => {
        const subscription = subject.subscribe(put);
        return () => subscription.unsubscribe();
      }),
  };
}
