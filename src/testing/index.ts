export { collect, collectBatches } from "./collect.ts";
export type { Collected, UntilOptions } from "./collect.ts";
export { TestKeyspace } from "./test-keyspace.ts";
export type { WriteFailureOptions } from "./test-keyspace.ts";
