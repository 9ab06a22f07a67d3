/**
 * What went wrong, in one line for people: the library's errors and the causes in its statuses, without the names
 * of gRPC statuses and system calls.
 */
import { isEventValueError } from "../errors.ts";
import { type ExitCode, exitCodes, Failure } from "./exit.ts";
import { escapeControls } from "./text.ts";

/** The exit code and the line that tell of `error`. */
export function failureOf(error: unknown): { readonly exitCode: ExitCode; readonly message: string } {
  if (error instanceof Failure) return { exitCode: error.exitCode, message: oneLine(error.message) };
  if (isEventValueError(error, "EV_UNAVAILABLE")) {
    const write = error.maybeApplied ? ", the write may have been applied" : "";
    return {
      exitCode: exitCodes.unavailable,
      message: `no answer from the store${write}: ${explain(error.cause ?? error)}`,
    };
  }
  if (isEventValueError(error)) {
    const refused = fromTransport(error.cause) ? `the store refused: ${explain(error.cause)}` : error.message;
    return { exitCode: exitCodes.failed, message: oneLine(refused) };
  }
  return { exitCode: exitCodes.failed, message: `unexpected error: ${oneLine(messageOf(error))}` };
}

/** Why something failed, in one line, with the endpoint where that is known. */
export function explain(cause: unknown): string {
  if (fromTransport(cause)) return oneLine(`${cause.endpoint}: ${inWords(cause.details)}`);
  return oneLine(messageOf(cause));
}

/** Why a file cannot be read or written, in words. */
export function explainFileError(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return fileErrors.get(code ?? "") ?? oneLine(messageOf(error));
}

const fileErrors: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "no such file"],
  ["EACCES", "permission denied"],
  ["EISDIR", "it is a directory"],
  ["ENOTDIR", "a part of its path is not a directory"],
]);

/** A failure of the transport, known by its form: it has the endpoint, and the details without it. */
interface TransportFailure {
  readonly endpoint: string;
  readonly details: string;
}

function fromTransport(error: unknown): error is TransportFailure {
  const { endpoint, details } = (error ?? {}) as Partial<TransportFailure>;
  return typeof endpoint === "string" && typeof details === "string";
}

/** What the transport and the store say, by patterns; the first that matches counts. */
const words: ReadonlyArray<readonly [RegExp, string]> = [
  [/\bECONNREFUSED\b/, "connection refused"],
  [/\bECONNRESET\b/, "connection reset"],
  [/\bETIMEDOUT\b/, "connecting timed out"],
  [/\b(EHOSTUNREACH|ENETUNREACH)\b/, "no route to the host"],
  [/\bENOTFOUND\b/, "no such host"],
  [/\bEAI_AGAIN\b/, "the host's name cannot be looked up at the moment"],
  [/^Received HTTP status code (\d+)/, "this is a web server, not etcd (it answered with HTTP status $1)"],
  [
    /disconnected before secure TLS|wrong version number|packet length too long/,
    "it does not speak TLS (is it an http endpoint?)",
  ],
  [
    /^.*(self[- ]signed certificate|unable to (verify|get)).*$/i,
    "its certificate is not trusted: $& (--cacert says whom to trust)",
  ],
  [/certificate required|bad certificate/i, "it asks for a client certificate (--cert and --key)"],
  [/^Failed to connect$/, "it hung up (is it an https endpoint?)"],
  [/^Deadline exceeded/i, "no answer in time"],
  [/user name is empty/, "it asks who you are (--user)"],
];

function inWords(details: string): string {
  const said = details
    .replace(/^no connection: /, "")
    .replace(/^etcdserver: /, "")
    .replace(/^Error( \[\w+\])?: /, "");
  for (const [pattern, text] of words) {
    const found = pattern.exec(said);
    if (found !== null) return text.replace("$&", found[0]).replace("$1", found[1] ?? "");
  }
  return said;
}

function messageOf(error: unknown): string {
  return error instanceof Error && error.message !== "" ? error.message : String(error);
}

/** Exactly one line, whatever a server or a file name put into it. */
function oneLine(text: string): string {
  return escapeControls(text.trim().replace(/\s*\n\s*/g, " "));
}
