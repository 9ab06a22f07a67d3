/**
 * The one error class of the package and its codes.
 *
 * Match on `code`: messages are for people and may change. Aborts are not wrapped in it (they reject with
 * `signal.reason` itself), and wrong arguments are a plain `TypeError` or `RangeError` thrown at the call.
 */

/** What an error of each code carries besides `code`, `message`, `key` and `cause`. */
export interface ErrorFields {
  /** The watcher, value or keyspace was closed, or the value has ended. */
  EV_CLOSED: unknown;
  /** A `get()` while another one of the same watcher is pending. The pending one is untouched. */
  EV_CONCURRENT_GET: unknown;
  /** A `backlogOnly` get found nothing pending. The watcher stays usable. */
  EV_BACKLOG_DONE: unknown;
  /** The decoder rejected the bytes stored under `key`. The watcher goes on with the next change. */
  EV_DECODE: { readonly key: string; readonly bytes: Uint8Array; readonly revision: number };
  /** A condition on the revision of `key` did not hold. `currentRevision` is 0 when the key is absent. */
  EV_CONFLICT: { readonly key: string; readonly currentRevision: number };
  /** The store could not be reached; `maybeApplied` tells whether a write may have happened all the same. */
  EV_UNAVAILABLE: { readonly maybeApplied: boolean };
  /** Wrong user or password, or credentials are missing. */
  EV_UNAUTHENTICATED: unknown;
  /** The user may not do this on this key. */
  EV_PERMISSION_DENIED: unknown;
  /** The store refused the request as malformed. */
  EV_INVALID_ARGUMENT: unknown;
  /** The lease of a write does not exist (any more). */
  EV_LEASE_NOT_FOUND: unknown;
  /** The store refused the request because of a limit: its space quota, its request size, its rate. */
  EV_RESOURCE_EXHAUSTED: unknown;
  /** Anything else the store answered; `cause` has it. */
  EV_STORE: unknown;
}

/** The codes of {@link EventValueError}. */
export type ErrorCode = keyof ErrorFields;

/** An {@link EventValueError} with code `C`, and the fields that code promises. */
export type EventValueErrorOf<C extends ErrorCode> = EventValueError & { readonly code: C } & ErrorFields[C];

/** What {@link EventValueError}'s constructor takes besides code and message. */
export type EventValueErrorOptions<C extends ErrorCode> = {
  readonly cause?: unknown;
  readonly key?: string;
} & (unknown extends ErrorFields[C] ? unknown : ErrorFields[C]);

/** Shared by every copy of the package that is loaded into a process, whatever its version. */
const brand: symbol = Symbol.for("event-value.error");

/**
 * Base of every error this library creates.
 *
 * @example
 * ```ts
 * import { EventValueError, isEventValueError, MemoryValue } from "event-value";
 *
 * const watcher = new MemoryValue<number>().watch();
 * const error = await watcher.get({ backlogOnly: true }).catch((e: unknown) => e);
 * console.log(error instanceof EventValueError, isEventValueError(error, "EV_BACKLOG_DONE")); // true true
 * ```
 */
export class EventValueError extends Error {
  override readonly name: string = "EventValueError";
  declare readonly code: ErrorCode;
  /** The key concerned, where there is one. */
  declare readonly key?: string;

  static {
    Object.assign(this.prototype, { [brand]: true });
  }

  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown; readonly key?: string }) {
    super(message, options);
    Object.assign(this, options, { code });
  }
}

/** Makes an error of `code` with the fields that code promises. @internal */
export function errorOf<C extends ErrorCode>(
  code: C,
  message: string,
  options: EventValueErrorOptions<C>,
): EventValueErrorOf<C> {
  return new EventValueError(code, message, options) as EventValueErrorOf<C>;
}

/** What calls of a closed keyspace reject with. @internal */
export function keyspaceClosed(): EventValueError {
  return new EventValueError("EV_CLOSED", "the keyspace is closed");
}

/**
 * Whether `error` was made by this library, by any copy of it in the process; with `code`, whether it has that
 * code, which narrows it to the fields the code promises.
 *
 * @example
 * ```ts
 * import { EventValueError, isEventValueError } from "event-value";
 *
 * const error: unknown = new EventValueError("EV_CLOSED", "the watcher is closed");
 * console.log(isEventValueError(error), isEventValueError(error, "EV_DECODE")); // true false
 * ```
 */
export function isEventValueError(error: unknown): error is EventValueError;
export function isEventValueError<C extends ErrorCode>(error: unknown, code: C): error is EventValueErrorOf<C>;
export function isEventValueError(error: unknown, code?: ErrorCode): boolean {
  if (typeof error !== "object" || error === null || (error as Record<symbol, unknown>)[brand] !== true) return false;
  return code === undefined || (error as EventValueError).code === code;
}
