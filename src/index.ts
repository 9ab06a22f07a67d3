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
  GetBatchOptions,
  InvalidUpdate,
  Keyspace,
  KeyRange,
  KeyUpdate,
  KeyValue,
  Lease,
  LeaseOptions,
  RangeSelector,
  RangeWatcher,
  ReadableKeyRange,
  ReadableKeyValue,
  Status,
  Versioned,
  WriteOptions,
} from "./keyspace.ts";
export { LockstepValue } from "./memory/lockstep-value.ts";
export type { LockstepSetOptions, LockstepValueConstructor } from "./memory/lockstep-value.ts";
export { MemoryValue } from "./memory/memory-value.ts";
export type { MemoryValueConstructor } from "./memory/memory-value.ts";
export { combine } from "./operators/combine.ts";
export type { Combined } from "./operators/combine.ts";
export { distinctUntilChanged } from "./operators/distinct-until-changed.ts";
export { filter } from "./operators/filter.ts";
export { map } from "./operators/map.ts";
export { pipeTo } from "./operators/pipe-to.ts";
export type { PipeTarget, PipeToOptions, SinkWriter } from "./operators/pipe-to.ts";
export { waitFor } from "./operators/wait-for.ts";
export type { WaitForOptions } from "./operators/wait-for.ts";
