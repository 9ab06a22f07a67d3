// The public API, written by `npm run api`.
//
// event-value: index.d.ts
// event-value/etcd: etcd/index.d.ts
// event-value/open: open/index.d.ts
// event-value/testing: testing/index.d.ts

// codec.d.ts

export type Decode<out T> = (bytes: Uint8Array, key: string) => T;
export interface Codec<in out T> {
    decode(bytes: Uint8Array, key: string): T;
    encode(value: T, key: string): Uint8Array;
}
export interface StandardSchemaV1<Input = unknown, Output = Input> {
    readonly "~standard": {
        readonly version: 1;
        readonly vendor: string;
        readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
        readonly types?: {
            readonly input: Input;
            readonly output: Output;
        } | undefined;
    };
}
export type StandardResult<Output> = {
    readonly value: Output;
    readonly issues?: undefined;
} | {
    readonly issues: ReadonlyArray<StandardIssue>;
};
export interface StandardIssue {
    readonly message: string;
    readonly path?: ReadonlyArray<PropertyKey | {
        readonly key: PropertyKey;
    }> | undefined;
}
export type InferInput<S extends StandardSchemaV1> = NonNullable<S["~standard"]["types"]>["input"];
export type InferOutput<S extends StandardSchemaV1> = NonNullable<S["~standard"]["types"]>["output"];
export declare const bytes: Codec<Uint8Array>;
export declare const text: Codec<string>;
export declare function json<T>(): Codec<T>;
export declare function json<S extends StandardSchemaV1>(schema: S & (InferOutput<S> extends InferInput<S> ? unknown : "the schema's output is not a valid input")): Codec<InferOutput<S>>;

// errors.d.ts

export interface ErrorFields {
    EV_CLOSED: unknown;
    EV_CONCURRENT_GET: unknown;
    EV_BACKLOG_DONE: unknown;
    EV_DECODE: {
        readonly key: string;
        readonly bytes: Uint8Array;
        readonly revision: number;
    };
    EV_CONFLICT: {
        readonly key: string;
        readonly currentRevision: number;
    };
    EV_UNAVAILABLE: {
        readonly maybeApplied: boolean;
    };
    EV_UNAUTHENTICATED: unknown;
    EV_PERMISSION_DENIED: unknown;
    EV_INVALID_ARGUMENT: unknown;
    EV_LEASE_NOT_FOUND: unknown;
    EV_RESOURCE_EXHAUSTED: unknown;
    EV_STORE: unknown;
}
export type ErrorCode = keyof ErrorFields;
export type EventValueErrorOf<C extends ErrorCode> = EventValueError & {
    readonly code: C;
} & ErrorFields[C];
export type EventValueErrorOptions<C extends ErrorCode> = {
    readonly cause?: unknown;
    readonly key?: string;
} & (unknown extends ErrorFields[C] ? unknown : ErrorFields[C]);
export declare class EventValueError extends Error {
    readonly name: string;
    readonly code: ErrorCode;
    readonly key?: string;
    constructor(code: ErrorCode, message: string, options?: {
        readonly cause?: unknown;
        readonly key?: string;
    });
}
export declare function isEventValueError(error: unknown): error is EventValueError;
export declare function isEventValueError<C extends ErrorCode>(error: unknown, code: C): error is EventValueErrorOf<C>;

// etcd/endpoint.d.ts

export interface Endpoint {
    readonly host: string;
    readonly port: number;
    readonly secure: boolean;
    readonly url: string;
}
export declare function parseEndpoints(endpoints: unknown, tls: boolean): readonly [Endpoint, ...Endpoint[]];

// etcd/index.d.ts

export { EtcdKeyspace } from "./keyspace.ts";
export type { EtcdKeyspaceOptions } from "./keyspace.ts";
export type { TlsOptions } from "./transport.ts";

// etcd/keyspace.d.ts

import type { Status } from "../keyspace.ts";
import { StoreKeyspace } from "../keyspace/store-keyspace.ts";
import type { Watchable } from "../watchable.ts";
import type { TlsOptions } from "./transport.ts";
export interface EtcdKeyspaceOptions {
    readonly endpoints: string | readonly string[];
    readonly namespace?: string | undefined;
    readonly auth?: {
        readonly username: string;
        readonly password: string;
    } | undefined;
    readonly tls?: TlsOptions | undefined;
    readonly staleAfterMs?: number | undefined;
    readonly connectTimeoutMs?: number | undefined;
    readonly requestTimeoutMs?: number | undefined;
    readonly keepAliveMs?: number | undefined;
    readonly keepAliveTimeoutMs?: number | undefined;
}
export declare class EtcdKeyspace extends StoreKeyspace {
    #private;
    readonly status: Watchable<Status>;
    constructor(options: EtcdKeyspaceOptions);
    close(): Promise<void>;
}

// etcd/transport.d.ts

import type { Endpoint } from "./endpoint.ts";
export interface Method<Request, Response> {
    readonly path: string;
    readonly write: boolean;
    readonly bulk?: boolean;
    encode(request: Request): Uint8Array;
    decode(bytes: Uint8Array): Response;
}
export interface CallOptions {
    readonly token?: string | undefined;
    readonly requireLeader?: boolean | undefined;
}
export interface UnaryOptions extends CallOptions {
    readonly signal?: AbortSignal | undefined;
    readonly deadlineMs?: number | undefined;
}
export interface Duplex<Request> {
    send(request: Request): void;
    close(): void;
}
export interface StreamHandlers<Response> {
    message(response: Response): void;
    end(error: TransportError): void;
}
export interface Transport {
    unary<Request, Response>(method: Method<Request, Response>, request: Request, options?: UnaryOptions): Promise<Response>;
    duplex<Request, Response>(method: Method<Request, Response>, handlers: StreamHandlers<Response>, options?: CallOptions): Duplex<Request>;
    close(): void;
}
export interface ConnectOptions {
    readonly tls?: TlsOptions | undefined;
    readonly connectTimeoutMs?: number | undefined;
    readonly keepAliveMs?: number | undefined;
    readonly keepAliveTimeoutMs?: number | undefined;
}
export interface TlsOptions {
    readonly ca?: string | Uint8Array | undefined;
    readonly cert?: string | Uint8Array | undefined;
    readonly key?: string | Uint8Array | undefined;
    readonly serverName?: string | undefined;
}
export declare class TransportError extends Error {
    readonly name: string;
    readonly status: number;
    readonly details: string;
    readonly endpoint: string;
    readonly maybeSent: boolean;
    constructor(endpoint: string, status: number, details: string, maybeSent: boolean, options?: ErrorOptions);
}
export declare function connect(endpoint: Endpoint, options?: ConnectOptions): Transport;

// index.d.ts

export type { GetOptions, Sink, Value, Watchable, Watcher, WatchOptions } from "./watchable.ts";
export { EventValueError, isEventValueError } from "./errors.ts";
export type { ErrorCode, ErrorFields, EventValueErrorOf } from "./errors.ts";
export { bytes, json, text } from "./codec.ts";
export type { Codec, Decode, InferInput, InferOutput, StandardIssue, StandardResult, StandardSchemaV1, } from "./codec.ts";
export type { Batch, CallOptions, CampaignOptions, Election, GetBatchOptions, InvalidUpdate, Keyspace, KeyRange, KeyUpdate, KeyValue, Leadership, Lease, LeaseOptions, LiveMap, RangeSelector, RangeWatcher, ReadableKeyRange, ReadableKeyValue, Status, TransactionOperation, Versioned, WriteOptions, } from "./keyspace.ts";
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

// keyspace.d.ts

import type { Codec, Decode } from "./codec.ts";
import type { EventValueError } from "./errors.ts";
import type { Sink, Watchable, Watcher, WatchOptions } from "./watchable.ts";
export interface CallOptions {
    readonly signal?: AbortSignal | undefined;
}
export interface WriteOptions extends CallOptions {
    readonly ifRevision?: number | undefined;
    readonly lease?: Lease | undefined;
}
export interface Versioned<out T> {
    readonly value: T;
    readonly revision: number;
    readonly createRevision: number;
}
export type KeyUpdate<T> = {
    readonly type: "put";
    readonly key: string;
    readonly value: T;
    readonly revision: number;
    readonly createRevision: number;
} | {
    readonly type: "delete";
    readonly key: string;
    readonly revision: number;
};
export interface InvalidUpdate {
    readonly type: "invalid";
    readonly key: string;
    readonly bytes: Uint8Array;
    readonly error: EventValueError;
    readonly revision: number;
}
export interface Batch<out T> {
    readonly type: "snapshot" | "update";
    readonly revision: number;
    readonly changes: ReadonlyArray<KeyUpdate<T> | InvalidUpdate>;
}
export interface ReadableKeyValue<out T, out Absent = undefined> extends Watchable<T | Absent> {
    readonly key: string;
    readonly updates: Watchable<KeyUpdate<T>>;
    read(options?: CallOptions): Promise<Versioned<T> | undefined>;
}
export interface KeyValue<in out T, out Absent = undefined> extends ReadableKeyValue<T, Absent>, Sink<T> {
    set(value: T, options?: WriteOptions): Promise<{
        revision: number;
    }>;
    update(change: (current: T | Absent) => T, options?: WriteOptions): Promise<{
        revision: number;
    }>;
    delete(options?: WriteOptions): Promise<{
        revision: number;
        deleted: boolean;
    }>;
}
export interface ReadableKeyRange<out T> extends Watchable<KeyUpdate<T>> {
    watch(options?: WatchOptions): RangeWatcher<T>;
    read(options?: CallOptions): Promise<Batch<T>>;
    live(options?: CallOptions): Promise<LiveMap<T>>;
}
export interface KeyRange<in out T> extends ReadableKeyRange<T> {
    set(key: string, value: T, options?: WriteOptions): Promise<{
        revision: number;
    }>;
    update(key: string, change: (current: T | undefined) => T, options?: WriteOptions): Promise<{
        revision: number;
    }>;
    delete(key: string, options?: WriteOptions): Promise<{
        revision: number;
        deleted: boolean;
    }>;
}
export interface GetBatchOptions {
    readonly signal?: AbortSignal | undefined;
    readonly backlogOnly?: boolean | undefined;
}
export interface RangeWatcher<out T> extends Watcher<KeyUpdate<T>> {
    getBatch(options?: GetBatchOptions): Promise<Batch<T>>;
    batches(): AsyncIterable<Batch<T>>;
}
export interface LiveMap<out T> extends ReadonlyMap<string, T>, Watchable<Batch<T>>, Disposable {
    readonly revision: number;
    readonly invalid: ReadonlyMap<string, EventValueError>;
    atLeast(revision: number, options?: CallOptions): Promise<this>;
    snapshot(): ReadonlyMap<string, T>;
    watch(options?: WatchOptions): Watcher<Batch<T>>;
    close(): void;
}
export type Status = {
    readonly state: "connecting";
    readonly since: Date;
    readonly cause?: unknown;
} | {
    readonly state: "live";
    readonly revision: number;
} | {
    readonly state: "stale";
    readonly since: Date;
    readonly cause: unknown;
} | {
    readonly state: "closed";
};
export interface Lease extends AsyncDisposable {
    readonly id: string;
    readonly lost: AbortSignal;
    close(): Promise<void>;
}
export interface LeaseOptions extends CallOptions {
    readonly ttlMs: number;
}
export interface CampaignOptions extends CallOptions {
    readonly ttlMs?: number | undefined;
}
export interface Leadership extends AsyncDisposable {
    readonly lost: AbortSignal;
    readonly revision: number;
    readonly fence: TransactionOperation;
    resign(): Promise<void>;
}
export interface Election {
    campaign(value: string, options?: CampaignOptions): Promise<Leadership>;
    readonly leader: Watchable<{
        readonly value: string;
        readonly revision: number;
    } | undefined>;
}
export interface TransactionOperation {
    readonly type: "put" | "remove" | "ifRevision";
    readonly key: string;
}
export type RangeSelector = string | {
    readonly start: string;
    readonly end: string;
};
export interface Keyspace extends AsyncDisposable {
    value<T>(key: string, codec: Codec<T>, options: {
        readonly default: NoInfer<T>;
    }): KeyValue<T, never>;
    value<T>(key: string, codec: Codec<T>): KeyValue<T>;
    value<T>(key: string, decode: Decode<T>, options: {
        readonly default: NoInfer<T>;
    }): ReadableKeyValue<T, never>;
    value<T>(key: string, decode: Decode<T>): ReadableKeyValue<T>;
    range<T>(range: RangeSelector, codec: Codec<T>): KeyRange<T>;
    range<T>(range: RangeSelector, decode: Decode<T>): ReadableKeyRange<T>;
    transaction(operations: readonly TransactionOperation[], options?: CallOptions): Promise<{
        revision: number;
    }>;
    lease(options: LeaseOptions): Promise<Lease>;
    election(name: string): Election;
    readonly status: Watchable<Status>;
    close(): Promise<void>;
}

// keyspace/announce.d.ts

import type { Keyspace, WriteOptions } from "../keyspace.ts";
import type { Watchable } from "../watchable.ts";
export interface AnnounceTarget<in T> {
    readonly set: (value: T, options: WriteOptions) => Promise<{
        readonly revision: number;
    }>;
}
export interface AnnounceOptions {
    readonly signal?: AbortSignal | undefined;
    readonly ttlMs?: number | undefined;
}
export declare function announce<T>(keyspace: Pick<Keyspace, "lease">, key: AnnounceTarget<T>, value: Watchable<T>, options?: AnnounceOptions): Promise<void>;

// keyspace/lead.d.ts

import type { Election, Leadership } from "../keyspace.ts";
export interface LeadContext {
    readonly signal: AbortSignal;
}
export interface LeadOptions {
    readonly signal?: AbortSignal | undefined;
    readonly ttlMs?: number | undefined;
}
export declare function lead<T>(election: Pick<Election, "campaign">, value: string, task: (leadership: Leadership, context: LeadContext) => T | PromiseLike<T>, options?: LeadOptions): Promise<T>;

// keyspace/store-keyspace.d.ts

import type { Codec, Decode } from "../codec.ts";
import type { CallOptions, Election, Keyspace, KeyRange, KeyValue, Lease, LeaseOptions, RangeSelector, ReadableKeyRange, ReadableKeyValue, Status, TransactionOperation } from "../keyspace.ts";
import type { Watchable } from "../watchable.ts";
export declare abstract class StoreKeyspace implements Keyspace {
    #private;
    [Symbol.asyncDispose]: () => Promise<void>;
    abstract readonly status: Watchable<Status>;
    value<T>(key: string, codec: Codec<T>, options: {
        readonly default: NoInfer<T>;
    }): KeyValue<T, never>;
    value<T>(key: string, codec: Codec<T>): KeyValue<T>;
    value<T>(key: string, decode: Decode<T>, options: {
        readonly default: NoInfer<T>;
    }): ReadableKeyValue<T, never>;
    value<T>(key: string, decode: Decode<T>): ReadableKeyValue<T>;
    range<T>(range: RangeSelector, codec: Codec<T>): KeyRange<T>;
    range<T>(range: RangeSelector, decode: Decode<T>): ReadableKeyRange<T>;
    transaction(operations: readonly TransactionOperation[], options?: CallOptions): Promise<{
        revision: number;
    }>;
    lease(options: LeaseOptions): Promise<Lease>;
    election(name: string): Election;
    abstract close(): Promise<void>;
}

// keyspace/transaction.d.ts

import type { KeyValue, Lease, TransactionOperation } from "../keyspace.ts";
export interface PutOptions {
    readonly lease?: Lease | undefined;
}
export declare function put<T>(keyValue: KeyValue<T, unknown>, value: NoInfer<T>, options?: PutOptions): TransactionOperation;
export declare function remove<T>(keyValue: KeyValue<T, unknown>): TransactionOperation;
export declare function ifRevision<T>(keyValue: KeyValue<T, unknown>, revision: number): TransactionOperation;

// memory/lockstep-value.d.ts

import type { Value, Watcher, WatchOptions } from "../watchable.ts";
export interface LockstepSetOptions {
    readonly signal?: AbortSignal | undefined;
}
export interface LockstepValue<in out T, out Unset = undefined> extends Value<T> {
    readonly current: T | Unset;
    readonly isSet: boolean;
    readonly watcherCount: number;
    set(value: T, options?: LockstepSetOptions): Promise<void>;
    update(change: (current: T | Unset) => T, options?: LockstepSetOptions): Promise<T>;
    watch(options?: WatchOptions): Watcher<T>;
    close(): void;
}
export interface LockstepValueConstructor {
    new <T>(options: {
        initial: T;
    }): LockstepValue<T, never>;
    new <T>(options?: {
        initial: T;
    }): LockstepValue<T>;
    readonly prototype: LockstepValue<unknown>;
}
export declare const LockstepValue: LockstepValueConstructor;

// memory/memory-keyspace.d.ts

import type { Status } from "../keyspace.ts";
import { StoreKeyspace } from "../keyspace/store-keyspace.ts";
import type { Watchable } from "../watchable.ts";
export interface MemoryKeyspaceOptions {
    readonly sharing?: MemoryKeyspace | undefined;
    readonly namespace?: string | undefined;
}
export declare class MemoryKeyspace extends StoreKeyspace {
    #private;
    readonly status: Watchable<Status>;
    constructor(options?: MemoryKeyspaceOptions);
    close(): Promise<void>;
}

// memory/memory-value.d.ts

import type { Value, Watcher, WatchOptions } from "../watchable.ts";
export interface MemoryValue<in out T, out Unset = undefined> extends Value<T> {
    readonly current: T | Unset;
    readonly isSet: boolean;
    readonly watcherCount: number;
    set(value: T): void;
    update(change: (current: T | Unset) => T): T;
    watch(options?: WatchOptions): Watcher<T>;
    close(): void;
}
export interface MemoryValueConstructor {
    new <T>(options: {
        initial: T;
    }): MemoryValue<T, never>;
    new <T>(options?: {
        initial: T;
    }): MemoryValue<T>;
    readonly prototype: MemoryValue<unknown>;
}
export declare const MemoryValue: MemoryValueConstructor;

// open/index.d.ts

import type { Keyspace } from "../keyspace.ts";
import type { EtcdKeyspaceOptions } from "../etcd/keyspace.ts";
export interface OpenOptions extends Omit<EtcdKeyspaceOptions, "endpoints" | "auth"> {
    readonly password?: string | undefined;
}
export declare function openKeyspace(url: string, options?: OpenOptions): Promise<Keyspace>;

// operators/combine.d.ts

import type { Watchable } from "../watchable.ts";
export type Combined<M> = {
    -readonly [K in keyof M]: M[K] extends Watchable<infer T> ? T : never;
};
export declare function combine<const M extends readonly Watchable<unknown>[] | {
    readonly [name: string]: Watchable<unknown>;
}>(members: M): Watchable<Combined<M>>;

// operators/distinct-until-changed.d.ts

import type { Watchable } from "../watchable.ts";
export declare function distinctUntilChanged<T>(source: Watchable<T>, equals?: (previous: NoInfer<T>, next: NoInfer<T>) => boolean): Watchable<T>;

// operators/filter.d.ts

import type { Watchable } from "../watchable.ts";
export declare function filter<T, S extends T>(source: Watchable<T>, accept: (value: T) => value is S): Watchable<S>;
export declare function filter<T>(source: Watchable<T>, accept: (value: T) => boolean): Watchable<T>;

// operators/map.d.ts

import type { Watchable } from "../watchable.ts";
export declare function map<T, U>(source: Watchable<T>, change: (value: T) => U): Watchable<U>;

// operators/pipe-to.d.ts

import type { Sink, Watchable } from "../watchable.ts";
export interface SinkWriter<in T> {
    readonly ready: Promise<unknown>;
    readonly closed: Promise<unknown>;
    write(chunk: T): Promise<unknown>;
    releaseLock(): void;
}
export type PipeTarget<T> = ((value: T) => unknown) | Sink<T> | {
    getWriter(): SinkWriter<T>;
};
export interface PipeToOptions {
    readonly signal?: AbortSignal | undefined;
}
export declare function pipeTo<T>(source: Watchable<T>, sink: PipeTarget<T>, options?: PipeToOptions): Promise<void>;

// operators/run-latest.d.ts

import type { Watchable } from "../watchable.ts";
export interface RunLatestContext<out T> {
    readonly signal: AbortSignal;
    readonly previous: T | undefined;
}
export interface RunLatestOptions<in T, in out S = T> {
    readonly signal?: AbortSignal | undefined;
    readonly select?: ((value: T) => S) | undefined;
    readonly equals?: ((previous: NoInfer<S>, next: NoInfer<S>) => boolean) | undefined;
}
export declare function runLatest<T, S = T>(source: Watchable<T>, task: (value: T, context: RunLatestContext<T>) => unknown, options?: RunLatestOptions<T, S>): Promise<void>;

// operators/run-while.d.ts

import type { Watchable } from "../watchable.ts";
export interface RunWhileContext {
    readonly signal: AbortSignal;
}
export interface RunWhileOptions {
    readonly signal?: AbortSignal | undefined;
}
export declare function runWhile<T, S extends T>(source: Watchable<T>, predicate: (value: T) => value is S, task: (value: S, context: RunWhileContext) => unknown, options?: RunWhileOptions): Promise<void>;
export declare function runWhile<T>(source: Watchable<T>, predicate: (value: T) => boolean, task: (value: T, context: RunWhileContext) => unknown, options?: RunWhileOptions): Promise<void>;

// operators/skip-invalid.d.ts

import { type EventValueErrorOf } from "../errors.ts";
import type { Watchable } from "../watchable.ts";
export declare function skipInvalid<T>(source: Watchable<T>, report?: (error: EventValueErrorOf<"EV_DECODE">) => void): Watchable<T>;

// operators/wait-for.d.ts

import type { Watchable } from "../watchable.ts";
export interface WaitForOptions {
    readonly signal?: AbortSignal | undefined;
}
export declare function waitFor<T, S extends T>(source: Watchable<T>, predicate: (value: T) => value is S, options?: WaitForOptions): Promise<S>;
export declare function waitFor<T>(source: Watchable<T>, predicate: (value: T) => boolean, options?: WaitForOptions): Promise<T>;

// testing/collect.d.ts

import type { Batch, ReadableKeyRange } from "../keyspace.ts";
import type { Watchable } from "../watchable.ts";
export interface UntilOptions {
    readonly signal?: AbortSignal | undefined;
    readonly timeoutMs?: number | undefined;
}
export interface Collected<out T> extends Disposable {
    readonly values: readonly T[];
    readonly errors: readonly unknown[];
    readonly ended: boolean;
    until(condition: (values: readonly T[]) => boolean, options?: UntilOptions): Promise<readonly T[]>;
    close(): void;
}
export declare function collect<T>(watchable: Watchable<T>): Collected<T>;
export declare function collectBatches<T>(range: ReadableKeyRange<T>): Collected<Batch<T>>;

// testing/index.d.ts

export { collect, collectBatches } from "./collect.ts";
export type { Collected, UntilOptions } from "./collect.ts";
export { TestKeyspace } from "./test-keyspace.ts";
export type { WriteFailureOptions } from "./test-keyspace.ts";

// testing/test-keyspace.d.ts

import type { Lease } from "../keyspace.ts";
import { MemoryKeyspace } from "../memory/memory-keyspace.ts";
export interface WriteFailureOptions {
    readonly applied?: boolean | undefined;
    readonly error?: Error | undefined;
}
export declare class TestKeyspace extends MemoryKeyspace {
    #private;
    constructor(options?: {
        readonly namespace?: string | undefined;
    });
    pause(): void;
    resume(): void;
    goStale(cause?: unknown): void;
    recover(): void;
    failNextWrite(options?: WriteFailureOptions): void;
    expireLease(lease: Lease): void;
    jump(ms: number): void;
}

// watchable.d.ts

/// <reference lib="esnext.disposable" preserve="true" />
declare global {
    interface AbortSignal {
    }
}
export interface WatchOptions {
    readonly signal?: AbortSignal | undefined;
}
export interface GetOptions<in T> {
    signal?: AbortSignal | undefined;
    filter?: ((value: T) => boolean) | undefined;
    backlogOnly?: boolean | undefined;
}
export interface Watchable<out T> {
    watch(options?: WatchOptions): Watcher<T>;
}
export interface Sink<in T> {
    readonly set: (value: T) => void | Promise<unknown>;
}
export interface Value<in out T> extends Watchable<T>, Sink<T> {
}
export interface Watcher<out T> extends AsyncIterable<T>, Disposable {
    get<S extends T>(options: GetOptions<T> & {
        filter: (value: T) => value is S;
    }): Promise<S>;
    get(options?: GetOptions<T>): Promise<T>;
    close(): void;
}
