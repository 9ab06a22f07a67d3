/**
 * Runs `task` in a later turn of the event loop, after timers and I/O had theirs.
 *
 * `setImmediate` where there is one (Node, Bun, Deno), else a timer of no delay. Taken when the module loads, so that
 * a test's fake timers, which nobody may advance, do not stop the library.
 */
export const macrotask: (task: () => void) => void = globalThis.setImmediate ?? setTimeout;
