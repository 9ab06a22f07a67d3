/** What every value promises besides what it promises as a watchable: that it can be set. */
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/index.ts";
import { rejection } from "../support/promises.ts";
import { type Capabilities, describeWatchable, type Subject } from "./watchable.ts";

/** A value of the kind that is examined. */
export interface ValueSubject extends Subject {
  readonly watchable: Value<unknown>;
}

/** Makes a subject, unset or with an initial value. */
export type MakeValueSubject = (options?: { readonly initial: unknown }) => ValueSubject | Promise<ValueSubject>;

/** Holds an implementation of `Value` to what all promise. */
export function describeValue(name: string, make: MakeValueSubject, capabilities: Capabilities): void {
  describeWatchable(name, make, capabilities);

  describe(`${name}: set`, () => {
    const check = (title: string, body: (subject: ValueSubject) => Promise<void>): void => {
      // oxlint-disable-next-line vitest/valid-title -- it is a parameter here
      test(title, async () => {
        const subject = await make();
        try {
          await body(subject);
        } finally {
          await subject.dispose?.();
        }
      });
    };

    check(
      "C5 a promise or other thenable is a TypeError at the call, and sets nothing",
      async ({ watchable: value, set }) => {
        // oxlint-disable-next-line unicorn/no-thenable
        const thenables = [Promise.resolve(1), { then: () => {} }, Object.assign(() => {}, { then() {} })];
        for (const thenable of thenables) expect(() => value.set(thenable), "at the call").toThrow(TypeError);
        expect(() => value.set(Promise.resolve(1))).toThrow("value must be awaited first");
        using watcher = value.watch();
        await set(1);
        expect(await watcher.get()).toBe(1);
      },
    );

    check("settles when there is nobody to wait for", async ({ watchable: value }) => {
      await value.set(1);
      using watcher = value.watch();
      expect(await watcher.get()).toBe(1);
    });

    check("of several producers reaches every watcher, the last one last", async ({ watchable: value }) => {
      const watchers = Array.from({ length: 3 }, () => value.watch());
      const consumers = watchers.map(async (watcher) => {
        const seen: unknown[] = [];
        while (!seen.includes("last")) seen.push(await watcher.get());
        watcher.close();
        return seen;
      });
      await Promise.all(Array.from({ length: 5 }, async (_, i) => value.set(i)));
      await value.set("last");
      for (const seen of await Promise.all(consumers)) {
        expect(seen.at(-1)).toBe("last");
        expect(new Set(seen).size).toBe(seen.length);
      }
    });

    if (capabilities.ends) {
      check("fails with EV_CLOSED once the value has ended", async (subject) => {
        await subject.end!();
        const failed = rejection(
          (async () => {
            await subject.watchable.set(1);
          })(),
        );
        expect(await failed).toMatchObject({ code: "EV_CLOSED" });
      });
    }
  });
}
