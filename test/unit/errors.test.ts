import { describe, expect, test } from "vitest";
import { errorOf, EventValueError, isEventValueError } from "../../src/errors.ts";
import { loadCore } from "../support/compiled.ts";

describe("EventValueError", () => {
  test("is an Error with a code, a cause and what else its code promises", () => {
    const cause = new Error("why");
    const error = new EventValueError("EV_STORE", "the store refused", { cause, key: "a" });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: "EventValueError", message: "the store refused", code: "EV_STORE", key: "a" });
    expect(error.cause).toBe(cause);
    expect(String(error)).toBe("EventValueError: the store refused");
    expect(error.stack).toContain("errors.test.ts");

    const stored = new Uint8Array([1]);
    const decode = errorOf("EV_DECODE", "cannot be decoded", { cause, key: "k", bytes: stored, revision: 7 });
    expect(decode).toBeInstanceOf(EventValueError);
    expect(decode).toMatchObject({ code: "EV_DECODE", key: "k", bytes: stored, revision: 7, cause });
  });

  test("has no cause and no key where none is given", () => {
    const error = new EventValueError("EV_CLOSED", "closed");
    expect("cause" in error).toBe(false);
    expect("key" in error).toBe(false);
  });

  test("keeps a cause that is undefined, and hides it from enumeration as errors do", () => {
    const error = new EventValueError("EV_CLOSED", "closed", { cause: undefined });
    expect("cause" in error).toBe(true);
    expect(Object.keys(error)).not.toContain("cause");
  });
});

describe("isEventValueError", () => {
  test("recognises the package's errors, and tells their codes apart", () => {
    const error: unknown = new EventValueError("EV_CLOSED", "closed");
    expect(isEventValueError(error)).toBe(true);
    expect(isEventValueError(error, "EV_CLOSED")).toBe(true);
    expect(isEventValueError(error, "EV_DECODE")).toBe(false);
  });

  test("recognises errors of another copy of the package, both ways", async () => {
    const copy = await loadCore();
    const here = new EventValueError("EV_CLOSED", "closed");
    const there = new copy.EventValueError("EV_CLOSED", "closed");
    expect(there).not.toBeInstanceOf(EventValueError);
    expect(isEventValueError(there)).toBe(true);
    expect(isEventValueError(there, "EV_CLOSED")).toBe(true);
    expect(isEventValueError(there, "EV_STORE")).toBe(false);
    expect(copy.isEventValueError(here, "EV_CLOSED")).toBe(true);
  });

  test("recognises errors of a class derived from it", () => {
    class KeyError extends EventValueError {}
    expect(isEventValueError(new KeyError("EV_STORE", "no"), "EV_STORE")).toBe(true);
  });

  test("says no to everything else", () => {
    const others = [
      undefined,
      null,
      "EV_CLOSED",
      0,
      () => {},
      {},
      { code: "EV_CLOSED", name: "EventValueError" },
      Object.assign(new Error("closed"), { code: "EV_CLOSED" }),
      new DOMException("aborted", "AbortError"),
      EventValueError,
      Object.create(null),
    ];
    for (const other of others) expect(isEventValueError(other)).toBe(false);
    for (const other of others) expect(isEventValueError(other, "EV_CLOSED")).toBe(false);
  });
});
