/** Comparing types. */
// oxlint-disable typescript/no-unnecessary-type-parameters -- types are compared by them

/** `true` where the two are the same type, and `false` where they are merely alike. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Accepts only `true`; where the types differ this is an error. */
export function expectType<_ extends true>(): void {}
