export type { GetOptions, Sink, Value, Watchable, Watcher, WatchOptions } from "./watchable.ts";
export { EventValueError, isEventValueError } from "./errors.ts";
export type { ErrorCode, ErrorFields, EventValueErrorOf } from "./errors.ts";
export { bytes, json, text } from "./codec.ts";
export type {
  Codec,
  Decode,
  InferInput,
  InferOutput,
  StandardIssue,
  StandardResult,
  StandardSchemaV1,
} from "./codec.ts";
export type {
  Batch,
  CallOptions,
  CampaignOptions,
  Election,
  GetBatchOptions,
  InvalidUpdate,
  Keyspace,
  KeyRange,
  KeyUpdate,
  KeyValue,
  Leadership,
  Lease,
  LeaseOptions,
  LiveMap,
  RangeSelector,
  RangeWatcher,
  ReadableKeyRange,
  ReadableKeyValue,
  Status,
  TransactionOperation,
  Versioned,
  WriteOptions,
} from "./keyspace.ts";
export { announce } from "./keyspace/announce.ts";
export type { AnnounceOptions, AnnounceTarget } from "./keyspace/announce.ts";
export { lead } from "./keyspace/lead.ts";
export type { LeadContext, LeadOptions } from "./keyspace/lead.ts";
export { ifRevision, put, remove } from "./keyspace/transaction.ts";
export type { PutOptions } from "./keyspace/transaction.ts";
export { LockstepValue } from "./memory/lockstep-value.ts";
export type { LockstepSetOptions, LockstepValueConstructor } from "./memory/lockstep-value.ts";
export { MemoryKeyspace } from "./memory/memory-keyspace.ts";
export type { MemoryKeyspaceOptions } from "./memory/memory-keyspace.ts";
export { MemoryValue } from "./memory/memory-value.ts";
export type { MemoryValueConstructor } from "./memory/memory-value.ts";
export { combine } from "./operators/combine.ts";
export type { Combined } from "./operators/combine.ts";
export { distinctUntilChanged } from "./operators/distinct-until-changed.ts";
export { filter } from "./operators/filter.ts";
export { map } from "./operators/map.ts";
export { pipeTo } from "./operators/pipe-to.ts";
export type { PipeTarget, PipeToOptions, SinkWriter } from "./operators/pipe-to.ts";
export { runLatest } from "./operators/run-latest.ts";
export type { RunLatestContext, RunLatestOptions } from "./operators/run-latest.ts";
export { runWhile } from "./operators/run-while.ts";
export type { RunWhileContext, RunWhileOptions } from "./operators/run-while.ts";
export { skipInvalid } from "./operators/skip-invalid.ts";
export { waitFor } from "./operators/wait-for.ts";
export type { WaitForOptions } from "./operators/wait-for.ts";
