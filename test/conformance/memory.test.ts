import {
  combine,
  distinctUntilChanged,
  filter,
  LockstepValue,
  map,
  MemoryValue,
  type Watchable,
} from "../../src/index.ts";
import { describeValue } from "./value.ts";
import { allCapabilities, describeWatchable, type MakeSubject } from "./watchable.ts";

describeValue(
  "MemoryValue",
  (options) => {
    const value = new MemoryValue<unknown>(options);
    return {
      watchable: value,
      set: async (to) => value.set(to),
      end: async () => value.close(),
      watcherCount: () => value.watcherCount,
    };
  },
  allCapabilities,
);

describeValue(
  "LockstepValue",
  (options) => {
    const value = new LockstepValue<unknown>(options);
    return {
      watchable: value,
      async set(to) {
        // Settles when watchers have it, which here is for the test to bring about; the end refuses what is queued.
        value.set(to).catch(() => {});
      },
      end: async () => value.close(),
      watcherCount: () => value.watcherCount,
    };
  },
  { ...allCapabilities, conflates: false },
);

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
