/** `openKeyspace`: a keyspace by its URL, so that an application moves from memory to a cluster by its settings. */
import { checkOptions, type Known, mustBe } from "../internal/arguments.ts";
import type { Keyspace } from "../keyspace.ts";
import type { EtcdKeyspaceOptions } from "../etcd/keyspace.ts";
import { MemoryKeyspace } from "../memory/memory-keyspace.ts";

/** Options of {@link openKeyspace}, beyond what the URL says. A keyspace in memory has use for its namespace only. */
export interface OpenOptions extends Omit<EtcdKeyspaceOptions, "endpoints" | "auth"> {
  /** The password of the URL's user. */
  readonly password?: string | undefined;
}

/** The stores of `memory:name`, by name: one for the process, for as long as it lives. */
const named = new Map<string, MemoryKeyspace>();

/**
 * Opens the keyspace that a URL names:
 *
 * - `memory:`, a new one in this process, with a store of its own;
 * - `memory:name`, one in this process whose keys all that were opened by this name have. They stay until the process ends;
 * - `http://host:port,host:port` or `https://…`, an etcd cluster by its members. The port is 2379 unless one says otherwise;
 * - `etcd://user@host,host/namespace/`, the same with a user (who needs a `password`) and a namespace, both as they may be
 *   left away and percent-encoded where they hold what a URL cannot. With `tls` options it speaks TLS.
 *
 * The backend is loaded when it is asked for: who opens `memory:` needs no gRPC. Nothing is connected yet.
 *
 * @returns the keyspace. It rejects with what the constructor of `EtcdKeyspace` throws, for wrong hosts or options.
 * @throws `TypeError` at the call, for what is not such a URL
 *
 * @example
 * ```ts
 * import { text } from "event-value";
 * import { openKeyspace } from "event-value/open";
 *
 * const keyspace = await openKeyspace("memory:example");
 * const greeting = keyspace.value("greeting", text, { default: "hello" });
 * console.log(await greeting.watch().get()); // hello
 * await keyspace.close();
 * ```
 */
export function openKeyspace(url: string, options: OpenOptions = {}): Promise<Keyspace> {
  if (typeof url !== "string") throw mustBe("url", "a string", url);
  checkOptions(options, openOptions, "openKeyspace()");
  const [, scheme = "", rest = ""] = /^([a-z]+):(.*)$/is.exec(url) ?? [];
  switch (scheme.toLowerCase()) {
    case "memory":
      return Promise.resolve(openMemory(rest, options.namespace));
    case "http":
    case "https":
    case "etcd":
      return openEtcd(etcdOptions(url, options));
    default:
      throw new TypeError(
        `url must be memory:, memory:name, http(s)://host:port or etcd://user@host/namespace, not ${shown(url)}`,
      );
  }
}

const openOptions: Known = {
  password: "string",
  namespace: "string",
  tls: "any",
  staleAfterMs: "number",
  connectTimeoutMs: "number",
  requestTimeoutMs: "number",
  keepAliveMs: "number",
  keepAliveTimeoutMs: "number",
};

function openMemory(name: string, namespace: string | undefined): MemoryKeyspace {
  if (name.startsWith("//")) throw new TypeError(`url is memory:name, without slashes, and not "memory:${name}"`);
  if (name === "") return new MemoryKeyspace({ namespace });
  let first = named.get(name);
  if (first === undefined) named.set(name, (first = new MemoryKeyspace()));
  return new MemoryKeyspace({ sharing: first, namespace });
}

async function openEtcd(options: EtcdKeyspaceOptions): Promise<Keyspace> {
  const { EtcdKeyspace } = await import("../etcd/keyspace.ts");
  return new EtcdKeyspace(options);
}

/** What the URL says, and the options. @throws `TypeError` */
function etcdOptions(url: string, { password, ...options }: OpenOptions): EtcdKeyspaceOptions {
  const refuse = (why: string): never => {
    throw new TypeError(`url ${why}: ${shown(url)}`);
  };
  const [scheme = ""] = url.split(":", 1);
  // Other programs take a list of whole URLs, so the scheme may be said again.
  const [, rest = ""] = /^\w+:\/\/(.*)$/s.exec(url.replaceAll(`,${scheme}://`, ",")) ?? [];
  if (scheme.toLowerCase() !== "etcd") {
    if (password !== undefined) refuse("names no user for the password: etcd://user@host does");
    return {
      ...options,
      endpoints: rest.split(",").map((host) => (host.includes("://") ? host : `${scheme.toLowerCase()}://${host}`)),
    };
  }
  const [, user = "", hosts = "", path = ""] = /^(?:([^@/]*)@)?([^/?#]*)(?:\/([^?#]*))?$/s.exec(rest) ?? [];
  if (hosts === "") refuse("is not of the form etcd://user@host,host/namespace");
  if (user.includes(":")) refuse("must not hold a password: give it as an option");
  if ((user === "") !== (password === undefined)) refuse("and the options must give a user and a password, or neither");
  if (path !== "" && options.namespace !== undefined) refuse("and the options both give a namespace");
  return {
    ...options,
    endpoints: hosts.split(","),
    ...(path === "" ? undefined : { namespace: decoded(path, refuse) }),
    ...(password === undefined ? undefined : { auth: { username: decoded(user, refuse), password } }),
  };
}

function decoded(part: string, refuse: (why: string) => never): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return refuse("is not percent-encoded as URLs are");
  }
}

/** The URL as messages may show it: without what may be a password. */
function shown(url: string): string {
  return JSON.stringify(url.replace(/\/\/.*@/s, "//***@"));
}
