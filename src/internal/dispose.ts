/**
 * Gives a class `[Symbol.dispose]`, which calls `close()`, where the platform has that symbol. A method written into
 * the class would be named "undefined" where it has not.
 */
export function disposable(prototype: { close(): void }): void {
  if (!Symbol.dispose) return;
  Object.defineProperty(prototype, Symbol.dispose, {
    value(this: { close(): void }): void {
      this.close();
    },
  });
}

/** The same for `[Symbol.asyncDispose]`, which waits for the method named `name`. */
export function asyncDisposable<N extends string>(prototype: { [M in N]: () => Promise<void> }, name: N): void {
  if (!Symbol.asyncDispose) return;
  Object.defineProperty(prototype, Symbol.asyncDispose, {
    value(this: { [M in N]: () => Promise<void> }): Promise<void> {
      return this[name]();
    },
  });
}
