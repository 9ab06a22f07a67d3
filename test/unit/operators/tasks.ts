/** Tasks whose ends are the test's to decide. */

/** One run of a task: what it was given, and what ends it. */
export interface Run<V, C extends { readonly signal: AbortSignal }> {
  readonly value: V;
  readonly context: C;
  end(): void;
  fail(error: unknown): void;
}

/** A task that goes on until the test ends it, whatever its signal says, and its runs so far. */
export function manualTask<V, C extends { readonly signal: AbortSignal }>(): {
  readonly task: (value: V, context: C) => Promise<void>;
  readonly runs: Run<V, C>[];
} {
  const runs: Run<V, C>[] = [];
  const task = (value: V, context: C): Promise<void> =>
    new Promise((end, fail) => {
      runs.push({ value, context, end, fail });
    });
  return { task, runs };
}

/** Rejects with the reason of `signal` when that is aborted, as most that takes a signal does. */
export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error));
  });
}
