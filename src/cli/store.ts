/** From the options of the command line to a keyspace, and calls to it that end in time. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isEventValueError } from "../errors.ts";
import type { Keyspace, Status } from "../keyspace.ts";
import { formatDuration, type StoreOptions } from "./args.ts";
import { exitCodes, Failure, UsageError } from "./exit.ts";
import { explain, explainFileError } from "./explain.ts";
import { readPassword } from "./password.ts";
import type { Program } from "./program.ts";

/** The status says `stale` this long after the store was reached last. */
const staleAfterMs = 6000;

/** Opens the keyspace; nothing is connected yet. @throws {@link UsageError} for what cannot work */
export async function openStore(program: Program, options: StoreOptions): Promise<Keyspace> {
  const { endpoints, namespace, user, serverName } = options;
  const tls = { ...(await readCertificates(options)), serverName };
  const auth = user === undefined ? undefined : { username: user, password: await readPassword(program, user) };
  // Loaded here, since it takes a while that help and wrong arguments need not wait for.
  const { EtcdKeyspace } = await import("../etcd/index.ts");
  const usesTls = Object.values(tls).some((given) => given !== undefined);
  return new EtcdKeyspace({ endpoints, namespace, auth, tls: usesTls ? tls : undefined, staleAfterMs });
}

/** How a call to the store is made. */
export interface Call {
  readonly keyspace: Keyspace;
  /** Aborted when the time is up. */
  readonly signal: AbortSignal;
  /** What follows may take as long as it likes, and is not broken off by the time. */
  inTime(): void;
}

/**
 * Opens the store, runs `work` and closes the store. After `timeoutMs` (0: never) the program fails as one that
 * could not reach the store.
 */
export async function callStore<T>(
  program: Program,
  options: StoreOptions,
  timeoutMs: number,
  work: (call: Call) => Promise<T>,
): Promise<T> {
  const keyspace = await openStore(program, options);
  const timeout = new AbortController();
  const timer = timeoutMs > 0 ? setTimeout(() => timeout.abort(), timeoutMs) : undefined;
  const inTime = (): void => {
    clearTimeout(timer);
    program.caution = undefined;
  };
  let last: Status | undefined;
  const watching = (async () => {
    for await (const status of keyspace.status.watch()) last = status;
  })();
  watching.catch(() => {});
  try {
    return await work({ keyspace, signal: timeout.signal, inTime });
  } catch (error) {
    if (!timeout.signal.aborted || error !== timeout.signal.reason) throw error;
    const cause = last !== undefined && "cause" in last ? last.cause : undefined;
    const why = cause === undefined ? options.endpoints.join(", ") : explain(cause);
    const write = program.caution === undefined ? "" : `, ${program.caution}`;
    throw new Failure(
      exitCodes.unavailable,
      `no answer from the store within ${formatDuration(timeoutMs)}${write}: ${why}`,
      { cause },
    );
  } finally {
    inTime();
    await keyspace.close();
  }
}

/**
 * Returns when the store has answered a read of `key`. A write that begins after it and is broken off may have been
 * applied; one that was never begun was not, and the user is told the difference.
 */
export async function beginWrite(program: Program, { keyspace, signal }: Call, key: string): Promise<void> {
  try {
    await keyspace.value(key, () => undefined).read({ signal });
  } catch (error) {
    // Who may only write has had an answer too.
    if (!isEventValueError(error, "EV_PERMISSION_DENIED")) throw error;
  }
  program.caution = "the write may have been applied";
}

interface Certificates {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

async function readCertificates({ cacert, cert, key }: StoreOptions): Promise<Certificates> {
  const certificate = (pem: Buffer): unknown => new X509Certificate(pem);
  const files = {
    ca: await readPem("--cacert", cacert, certificate),
    cert: await readPem("--cert", cert, certificate),
    key: await readPem("--key", key, createPrivateKey),
  };
  if (files.cert !== undefined && files.key !== undefined) {
    if (!new X509Certificate(files.cert).checkPrivateKey(createPrivateKey(files.key))) {
      throw new UsageError(`--key ${JSON.stringify(key)} does not belong to --cert ${JSON.stringify(cert)}`);
    }
  }
  return files;
}

async function readPem(
  option: string,
  path: string | undefined,
  check: (pem: Buffer) => unknown,
): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  const pem = await readGiven(option, path);
  try {
    check(pem);
  } catch (cause) {
    const encrypted = pem.includes("ENCRYPTED");
    const why = encrypted ? "is encrypted, which is not supported" : "is not in PEM form";
    throw new UsageError(`${option} ${JSON.stringify(path)} ${why}`, { cause });
  }
  return pem;
}

/** The file that an option names. @throws {@link UsageError} */
export async function readGiven(option: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new UsageError(`${option} ${JSON.stringify(path)} cannot be read: ${explainFileError(cause)}`, { cause });
  }
}
