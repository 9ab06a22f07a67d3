/** Checks of what callers pass: a `TypeError` at the call, naming the argument. */

/** What an option may be, besides `undefined`. */
export type Kind = "any" | "AbortSignal" | "function" | "boolean" | "number" | "string";

/** The options of a call, by name. */
export type Known = { readonly [name: string]: Kind };

/** Refuses anything but an object (or nothing) whose properties are all among `known`, and of their kind. */
export function checkOptions(options: unknown, known: Known, what: string): void {
  if (options === undefined) return;
  if (typeof options !== "object" || options === null) throw mustBe(`${what}: options`, "an object", options);
  // Inherited ones count: an AbortSignal passed in the place of { signal } is found by them.
  for (const name in options) {
    const kind = known[name];
    if (!kind) throw new TypeError(`${what}: unknown option "${name}"`);
    const value = (options as { readonly [name: string]: Partial<AbortSignal> | null | undefined })[name];
    if (value === undefined) continue;
    const fits =
      kind === "AbortSignal" ? typeof value?.addEventListener === "function" : kind === "any" || kind === typeof value;
    if (!fits) throw mustBe(`${what}: ${name}`, `of type ${kind}`, value);
  }
}

/** Refuses anything but a function. */
export function checkFunction(value: unknown, what: string): void {
  if (typeof value !== "function") throw mustBe(what, "a function", value);
}

/** Refuses a promise or other thenable: `await` would unwrap it on its way to the consumer. */
export function checkValue(value: unknown): void {
  if (value != null && typeof (value as { readonly then?: unknown }).then === "function") {
    throw mustBe("value", "awaited first", value);
  }
}

/** The error for an argument of the wrong type. */
export function mustBe(what: string, expected: string, given: unknown): TypeError {
  return new TypeError(`${what} must be ${expected}, not ${typeof given}`);
}
