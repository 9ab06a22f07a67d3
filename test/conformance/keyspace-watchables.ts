/** C1 to C12, of all that a keyspace lets one watch. */
import { filter, json, type Keyspace, type KeyUpdate, map, type Watchable } from "../../src/index.ts";
import type { Backend } from "./keyspace-backend.ts";
import { describeValue } from "./value.ts";
import { allCapabilities, type Capabilities, describeWatchable, type MakeSubject } from "./watchable.ts";

const capabilities: Capabilities = {
  ...allCapabilities,
  // A set is told as over a network.
  setsAtOnce: false,
  firstWins: false,
  // Of the bytes, not of the call.
  repeats: false,
  // Keys do not end; the keyspace does, and delivers nothing any more.
  ends: false,
  holds: [null, false, "", 0, { nested: [null, { deeper: "x" }] }],
};

const key = "of/key";

export function describeWatchables({ name, open }: Backend): void {
  /** Sets `value`, one after the other; settles when what `watchable` gives has come that far. */
  function setter(value: { set(value: unknown): Promise<unknown> }, watchable: Watchable<unknown>) {
    let last: Promise<unknown> = Promise.resolve();
    return async (to: unknown): Promise<void> => {
      last = last.then(() => value.set(to));
      await last;
      using joiner = watchable.watch();
      await joiner.get({ backlogOnly: true });
    };
  }

  describeValue(
    `${name}.value`,
    async (options) => {
      const subject = await open();
      const value = subject.keyspace.value(key, json<unknown>());
      if (options !== undefined) await value.set(options.initial);
      return { watchable: value, set: setter(value, value), dispose: () => subject[Symbol.asyncDispose]() };
    },
    capabilities,
  );

  /** Subjects that give the values of the updates of what `of` makes of a keyspace. */
  function ofUpdates(
    of: (keyspace: Keyspace) => Watchable<KeyUpdate<unknown>> | Promise<Watchable<KeyUpdate<unknown>>>,
  ): MakeSubject {
    return async (options) => {
      const subject = await open();
      const { keyspace } = subject;
      const watchable = map(await of(keyspace), (update) => (update.type === "put" ? update.value : undefined));
      const value = keyspace.value(key, json<unknown>());
      if (options !== undefined) await value.set(options.initial);
      return { watchable, set: setter(value, watchable), dispose: () => subject[Symbol.asyncDispose]() };
    };
  }

  describeWatchable(
    `${name}.value().updates`,
    ofUpdates((keyspace) => keyspace.value(key, json<unknown>()).updates),
    capabilities,
  );

  describeWatchable(
    `${name}.range`,
    ofUpdates((keyspace) => keyspace.range("of/", json<unknown>())),
    capabilities,
  );

  describeWatchable(
    `${name}.range().live()`,
    ofUpdates(async (keyspace) => {
      const live = await keyspace.range("of/", json<unknown>()).live();
      const changed = filter(live, ({ changes }) => changes.length > 0);
      return map(changed, ({ changes }) => changes.at(-1) as KeyUpdate<unknown>);
    }),
    capabilities,
  );
}
