export { EtcdKeyspace } from "./keyspace.ts";
export type { EtcdKeyspaceOptions } from "./keyspace.ts";
export type { TlsOptions } from "./transport.ts";
