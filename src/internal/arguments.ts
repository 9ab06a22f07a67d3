/** Checks of what callers pass: a `TypeError` at the call, naming the argument. */

/** Refuses anything but an object (or nothing) whose properties are all among `known`. */
export function checkOptions(options: unknown, known: readonly string[], what: string): void {
  if (options === undefined) return;
  if (typeof options !== "object" || options === null) throw mustBe(`${what}: options`, "an object", options);
  // Inherited ones count: an AbortSignal passed in the place of { signal } is found by them.
  for (const name in options) {
    if (!known.includes(name)) throw new TypeError(`${what}: unknown option "${name}"`);
  }
  const { signal } = options as { readonly signal?: Partial<AbortSignal> | null };
  if (signal !== undefined && typeof signal?.addEventListener !== "function") {
    throw mustBe(`${what}: signal`, "an AbortSignal", signal);
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
  return new TypeError(`${what} must be ${expected}, not ${given === null ? given : typeof given}`);
}
