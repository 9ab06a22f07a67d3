import {
  combine,
  distinctUntilChanged,
  filter,
  LockstepValue,
  map,
  MemoryValue,
  type Watchable,
} from "../../src/index.ts";
import { type Core, loadCore } from "../support/compiled.ts";
import { describeValue, type MakeValueSubject } from "./value.ts";
import { allCapabilities, describeWatchable, type MakeSubject } from "./watchable.ts";

/** Makes subjects of the `MemoryValue` of a core. */
function memory(of: Pick<Core, "MemoryValue">): MakeValueSubject {
  return (options) => {
    const value = new of.MemoryValue<unknown>(options);
    return {
      watchable: value,
      set: async (to) => value.set(to),
      end: async () => value.close(),
      watcherCount: () => value.watcherCount,
    };
  };
}

/** Makes subjects of the `LockstepValue` of a core. */
function lockstep(of: Pick<Core, "LockstepValue">): MakeValueSubject {
  return (options) => {
    const value = new of.LockstepValue<unknown>(options);
    return {
      watchable: value,
      async set(to) {
        // Settles when watchers have it, which here is for the test to bring about; the end refuses what is queued.
        value.set(to).catch(() => {});
      },
      end: async () => value.close(),
      watcherCount: () => value.watcherCount,
    };
  };
}

describeValue("MemoryValue", memory({ MemoryValue }), allCapabilities);

describeValue("LockstepValue", lockstep({ LockstepValue }), { ...allCapabilities, conflates: false });

// The same where deliveries are put off all the time for the sake of timers and I/O, not only after very many.
const hasty = await loadCore([
  { file: "internal/pace.ts", right: "const burst = 16_384;", instead: "const burst = 1;" },
]);

describeValue("MemoryValue with deliveries put off", memory(hasty), { ...allCapabilities, setsAtOnce: false });

describeValue("LockstepValue with deliveries put off", lockstep(hasty), {
  ...allCapabilities,
  conflates: false,
  setsAtOnce: false,
});

/** Makes subjects of what an operator makes of a `MemoryValue`. */
function operator(
  derive: (source: MemoryValue<unknown>) => Watchable<unknown>,
  close: () => void = () => {},
): MakeSubject {
  return (options) => {
    const source = new MemoryValue<unknown>(options);
    return {
      watchable: derive(source),
      set: async (to) => source.set(to),
      async end() {
        source.close();
        close();
      },
      watcherCount: () => source.watcherCount,
    };
  };
}

describeWatchable(
  "map",
  operator((source) => map(source, (value) => value)),
  allCapabilities,
);

describeWatchable(
  "filter",
  operator((source) => filter(source, () => true)),
  allCapabilities,
);

describeWatchable(
  "distinctUntilChanged",
  operator((source) => distinctUntilChanged(source, () => false)),
  allCapabilities,
);

describeWatchable(
  "a pipeline of map, filter and distinctUntilChanged",
  operator((source) =>
    distinctUntilChanged(
      map(
        filter(
          map(source, (value) => [value]),
          () => true,
        ),
        ([value]) => value,
      ),
      () => false,
    ),
  ),
  allCapabilities,
);

describeWatchable(
  "combine of one",
  operator((source) => map(combine([source]), ([value]) => value)),
  { ...allCapabilities, freesAtOnce: false },
);

describeWatchable(
  "combine of two",
  (options) => {
    const still = new MemoryValue({ initial: "still" });
    const make = operator(
      (source) => map(combine({ still, source }), (both) => both.source),
      () => still.close(),
    );
    return make(options);
  },
  { ...allCapabilities, freesAtOnce: false },
);
