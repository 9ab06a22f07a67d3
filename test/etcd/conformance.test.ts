/** What every value and every watchable promises, of those in etcd. */
import { afterAll, describe } from "vitest";
import { json, map } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import type { KeyUpdate } from "../../src/keyspace.ts";
import type { Watchable } from "../../src/watchable.ts";
import { describeValue } from "../conformance/value.ts";
import { allCapabilities, type Capabilities, describeWatchable, type MakeSubject } from "../conformance/watchable.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { freshPrefix, useEtcd } from "./store.ts";

const capabilities: Capabilities = {
  ...allCapabilities,
  // A set is told over a network.
  setsAtOnce: false,
  firstWins: false,
  // Of the bytes, not of the call.
  repeats: false,
  // Keys do not end; the keyspace does, and delivers nothing any more.
  ends: false,
  holds: [null, false, "", 0, { nested: [null, { deeper: "x" }] }],
};

describe.skipIf(!etcdAvailable)("in etcd", () => {
  const server = useEtcd();
  let keyspace: EtcdKeyspace | undefined;
  afterAll(() => keyspace?.close());

  /** A keyspace for all, and a key for one. */
  function setUp(): { readonly keyspace: EtcdKeyspace; readonly key: string } {
    keyspace ??= new EtcdKeyspace({ endpoints: server.etcd.endpoint });
    return { keyspace, key: `${freshPrefix()}key` };
  }

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
    "EtcdKeyspace.value",
    async (options) => {
      const value = setUp().keyspace.value(setUp().key, json<unknown>());
      if (options !== undefined) await value.set(options.initial);
      return { watchable: value, set: setter(value, value) };
    },
    capabilities,
  );

  /** Subjects that give the values of the updates of what `watch` makes of a keyspace and a key. */
  function ofUpdates(of: (keyspace: EtcdKeyspace, key: string) => Watchable<KeyUpdate<unknown>>): MakeSubject {
    return async (options) => {
      const { keyspace: own, key } = setUp();
      const watchable = map(of(own, key), (update) => (update.type === "put" ? update.value : undefined));
      const value = own.value(key, json<unknown>());
      if (options !== undefined) await value.set(options.initial);
      return { watchable, set: setter(value, watchable) };
    };
  }

  describeWatchable(
    "EtcdKeyspace.value().updates",
    ofUpdates((of, key) => of.value(key, json<unknown>()).updates),
    capabilities,
  );

  describeWatchable(
    "EtcdKeyspace.range",
    ofUpdates((of, key) => of.range(key, json<unknown>())),
    capabilities,
  );
});
