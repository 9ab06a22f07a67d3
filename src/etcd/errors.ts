/**
 * What etcd's refusals and the transport's failures mean: the one table from gRPC status and etcd's text to what to
 * do about an error, and to the codes of this package.
 *
 * etcd tells its errors apart by their text; the status alone says little (`INVALID_ARGUMENT` is a wrong password as
 * well as a missing key). A text that is not in the table is judged by its status. Whether and when to try again is
 * for the caller to decide.
 */
import { type ErrorCode, errorOf, EventValueError } from "../errors.ts";
import { quoted } from "../range/keys.ts";
import { TransportError } from "./transport.ts";

/**
 * What to do about an error:
 *
 * - `transient`: try again, at another member, after a while. That includes whatever is not an etcd at all.
 * - `auth`: the token is missing, unknown or has expired: try again with a new one.
 * - `denied`: the user may not do this. Of a watch, it may also be an expired token.
 * - `auth-disabled`: the cluster does not ask who one is.
 * - `compacted`, `future-revision`: the store does not have the revision, any more or yet.
 * - `permanent`: trying again would fail again.
 */
export type ErrorKind =
  | "transient"
  | "auth"
  | "denied"
  | "auth-disabled"
  | "compacted"
  | "future-revision"
  | "permanent";

/** What {@link classify} says of an error. */
export interface Classification {
  readonly kind: ErrorKind;
  /** The code of the error the user gets to see, if that comes of it. */
  readonly code: ErrorCode;
}

const transient: Classification = { kind: "transient", code: "EV_UNAVAILABLE" };
const auth: Classification = { kind: "auth", code: "EV_UNAUTHENTICATED" };
/** The token was good when it was issued, but users or roles have changed since. */
const outdated: Classification = { ...auth };
const wrongCredentials: Classification = { kind: "permanent", code: "EV_UNAUTHENTICATED" };
const denied: Classification = { kind: "denied", code: "EV_PERMISSION_DENIED" };
const invalid: Classification = { kind: "permanent", code: "EV_INVALID_ARGUMENT" };
const exhausted: Classification = { kind: "permanent", code: "EV_RESOURCE_EXHAUSTED" };
const refused: Classification = { kind: "permanent", code: "EV_STORE" };

/** By etcd's text, less the "etcdserver: " they all begin with. */
const byText: ReadonlyMap<string, Classification> = new Map([
  ["mvcc: required revision has been compacted", { kind: "compacted", code: "EV_STORE" }],
  ["mvcc: required revision is a future revision", { kind: "future-revision", code: "EV_STORE" }],

  ["no leader", transient],
  ["not leader", transient],
  ["leader changed", transient],
  ["request timed out", transient],
  ["request timed out, possibly due to previous leader failure", transient],
  ["request timed out, possibly due to connection lost", transient],
  ["request timed out, waiting for the applied index took too long", transient],
  ["server stopped", transient],
  ["unhealthy cluster", transient],
  ["too many requests", transient],
  ["not capable", transient], // a cluster in the middle of an upgrade
  ["rpc not supported for learner", transient], // other members are none

  ["invalid auth token", auth],
  ["user name is empty", auth],
  ["revision of auth store is old", outdated],
  ["auth: revision in header is old", outdated],
  ["authentication failed, invalid user ID or password", wrongCredentials],
  ["user name not found", wrongCredentials],
  ["authentication is not enabled", { kind: "auth-disabled", code: "EV_STORE" }],
  ["permission denied", denied],

  ["mvcc: database space exceeded", exhausted],
  ["request is too large", exhausted],
  ["too many operations in txn request", exhausted],
  ["requested lease not found", { kind: "permanent", code: "EV_LEASE_NOT_FOUND" }],
]);

/** By gRPC status, for texts that are not in {@link byText}. What is not here is not etcd's to say. */
const byStatus: ReadonlyMap<number, Classification> = new Map([
  [3, invalid], // INVALID_ARGUMENT
  [5, refused], // NOT_FOUND
  [6, refused], // ALREADY_EXISTS
  [7, denied], // PERMISSION_DENIED
  [8, exhausted], // RESOURCE_EXHAUSTED
  [9, refused], // FAILED_PRECONDITION
  [11, refused], // OUT_OF_RANGE
  [15, refused], // DATA_LOSS
  [16, auth], // UNAUTHENTICATED
]);

/**
 * What grpc-js makes of what a web server, or a proxy on the way, says by HTTP: its 401 or 403, and its wish to be left
 * in peace (`ENHANCE_YOUR_CALM`, which a server that counts pings sends as well), are not etcd's.
 */
const notFromEtcd = /^(Received HTTP status code|Bandwidth exhausted|Protocol not secure enough)/;

/** Texts that say that the request was turned away before anything was done about it. */
const turnedAway: ReadonlySet<string> = new Set([
  "no leader",
  "too many requests",
  "not capable",
  "rpc not supported for learner",
]);

const prefix = "etcdserver: ";

/** What `error` means. */
export function classify(error: TransportError): Classification {
  const { status, details } = error;
  if (details.startsWith(prefix)) {
    // What etcd refuses under a status that tells nothing, it refuses all the same.
    return byText.get(details.slice(prefix.length)) ?? byStatus.get(status) ?? (status === 14 ? transient : refused);
  }
  if (notFromEtcd.test(details)) return transient;
  return byStatus.get(status) ?? transient;
}

/**
 * Whether the token was good when it was issued, but users or roles have changed since. However often they do,
 * another token helps; nothing was done about the request.
 */
export function isOutdated(error: TransportError): boolean {
  return classify(error) === outdated;
}

const deadlineExceeded = 4;

/** Whether no answer came in time. */
export function isLate({ status }: TransportError): boolean {
  return status === deadlineExceeded;
}

/** An answer on a stream did not come in time. */
export function lateError(endpoint: string, details: string): TransportError {
  return new TransportError(endpoint, deadlineExceeded, details, true);
}

/** Whether a write that failed with `error` may have been carried out, so that it must not be tried again blindly. */
export function maybeApplied(error: TransportError): boolean {
  if (!error.maybeSent) return false;
  const { details } = error;
  return (
    classify(error).kind === "transient" &&
    !(details.startsWith(prefix) && turnedAway.has(details.slice(prefix.length)))
  );
}

/** The error that a user gets to see for `error`, which is its cause. */
export function toEventValueError(
  error: TransportError,
  context: { readonly key?: string | undefined; readonly write: boolean },
): EventValueError {
  const { code } = classify(error);
  const { key, write } = context;
  const of = key === undefined ? "" : ` for key ${quoted(key)}`;
  const options = { cause: error, ...(key === undefined ? undefined : { key }) };
  if (code === "EV_UNAVAILABLE") {
    const applied = write && maybeApplied(error);
    const what = applied
      ? `the answer to a write${of} was lost: it may have been applied`
      : `the store could not be reached${of}`;
    return errorOf(code, `${what}: ${error.message}`, { ...options, maybeApplied: applied });
  }
  return new EventValueError(code, `the store refused the request${of}: ${error.message}`, options);
}

const names: ReadonlyMap<string, number> = new Map(
  ["OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied"]
    .concat([
      "ResourceExhausted",
      "FailedPrecondition",
      "Aborted",
      "OutOfRange",
      "Unimplemented",
      "Internal",
      "Unavailable",
    ])
    .concat(["DataLoss", "Unauthenticated"])
    .map((name, status) => [name, status]),
);

/**
 * The refusal of a watch as an error. Its reason comes as text within the stream: the text of a gRPC error, or of one
 * of the store's own, which all say that the request was wrong.
 */
export function refusalOf(reason: string, endpoint = "watch"): TransportError {
  const [, name = "", details = reason] = /^rpc error: code = (\w+) desc = (.*)$/s.exec(reason) ?? [];
  return new TransportError(endpoint, names.get(name) ?? (reason.startsWith("mvcc: ") ? 3 : 2), details, false);
}
