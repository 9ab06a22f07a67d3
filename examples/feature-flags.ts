/**
 * Feature flags: what a user gets follows whichever of several values changed last. Shows `combine`.
 *
 * The program has defaults. `flags/NAME` switches a flag for everybody; `users/USER/flags` overrides some for one user.
 * Follow them in an etcd, and change them from another terminal:
 *
 *   export EVENT_VALUE_STORE=http://127.0.0.1:2379
 *   npm run example -- feature-flags --store $EVENT_VALUE_STORE
 *   npx event-value set flags/new-checkout true
 *   npx event-value set users/ben/flags '{"new-checkout":false}'
 */
import { isDeepStrictEqual } from "node:util";
import { combine, distinctUntilChanged, json, map, pipeTo, put, type Watchable } from "event-value";
import * as z from "zod";
import { run } from "./shared/run.ts";

const defaults = { "dark-mode": false, "new-checkout": false, search: true };
type Flags = typeof defaults;

const flag = json(z.boolean());
const overrides = json<Partial<Flags>>();

await run(
  async ({ keyspace, signal }) => {
    // The flags of everybody, as a map that follows them. One that is not a boolean is not in it.
    const everybody = await keyspace.range("flags/", flag).live({ signal });

    /** What `user` gets, and gets next. Changes that make no difference to this user are not told. */
    function flagsOf(user: string): Watchable<Flags> {
      const own = keyspace.value(`users/${user}/flags`, overrides, { default: {} });
      const flags = map(combine({ everybody, own }), (newest) => {
        const switched = [...everybody].map(([key, on]) => [key.slice("flags/".length), on] as const);
        return { ...defaults, ...Object.fromEntries(switched), ...newest.own };
      });
      return distinctUntilChanged(flags, isDeepStrictEqual);
    }

    const tell = (user: string): Promise<void> =>
      pipeTo(flagsOf(user), (flags) => console.log(`${user} has ${namesOf(flags)}`), { signal });
    await Promise.all([tell("ann"), tell("ben")]);
  },
  async ({ keyspace }, step) => {
    const checkout = keyspace.value("flags/new-checkout", flag);
    const search = keyspace.value("flags/search", flag);
    const ben = keyspace.value("users/ben/flags", overrides);
    await step("nothing is stored: everybody has the defaults");
    await step("new-checkout goes on for everybody", () => checkout.set(true));
    await step("ben is spared it", () => ben.set({ "new-checkout": false }));
    await step("new-checkout goes off: to ben that makes no difference", () => checkout.set(false));
    await step("on again, and search off, in one transaction: one change", () =>
      keyspace.transaction([put(checkout, true), put(search, false)]),
    );
    await step("ben is like everybody again", () => ben.delete());
  },
);

function namesOf(flags: Flags): string {
  const names = Object.entries(flags).flatMap(([name, on]) => (on ? [name] : []));
  return names.join(", ") || "nothing";
}
