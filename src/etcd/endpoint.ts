/**
 * Endpoints as users write them, checked and taken apart: where a member of the cluster listens.
 *
 * Anything that would be ignored later (a path, a user name) is refused here, so that a misplaced setting is an
 * error at the start and not a surprise at run time. Nothing is resolved or connected here.
 */
import { isIPv6 } from "node:net";
import { domainToASCII } from "node:url";

import { mustBe } from "../internal/arguments.ts";

/** The port etcd serves its clients on unless told otherwise. */
const defaultPort = 2379;

/** Where one member of a cluster listens. */
export interface Endpoint {
  /** A DNS name in its ASCII form, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Whether to speak TLS. */
  readonly secure: boolean;
  /** The whole as text, with its scheme and port: what messages call it. */
  readonly url: string;
}

/**
 * Reads `endpoints`, one or a list of `http://host:port`, `https://host:port`, `host:port` or `host`; an IPv6 address
 * stands in brackets where a port follows it. Without a scheme, `tls` decides.
 *
 * @throws `TypeError` naming the argument, for what is not an endpoint, for a list that is empty or mixes `http` and
 *   `https`, and for `http` where `tls` is given.
 */
export function parseEndpoints(endpoints: unknown, tls: boolean): readonly [Endpoint, ...Endpoint[]] {
  if (typeof endpoints === "string") return [parseEndpoint(endpoints, "endpoints", tls)];
  if (!Array.isArray(endpoints)) throw mustBe("endpoints", "a string or an array of strings", endpoints);
  const [first, ...others] = endpoints.map((text: unknown, index) => parseEndpoint(text, `endpoints[${index}]`, tls));
  if (first === undefined) throw new TypeError("endpoints must not be empty");
  for (const [index, other] of others.entries()) {
    if (other.secure !== first.secure) {
      throw new TypeError(`endpoints[${index + 1}] must use ${first.secure ? "https" : "http"}, as endpoints[0] does: ${other.url}`);
    }
  }
  return [first, ...others];
}

function parseEndpoint(text: unknown, name: string, tls: boolean): Endpoint {
  if (typeof text !== "string") throw mustBe(name, "a string", text);
  const refuse = (why: string): never => {
    throw new TypeError(`${name} ${why}: ${JSON.stringify(text)} (expected something like "http://127.0.0.1:${defaultPort}")`);
  };

  const [, scheme, rest = ""] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(.*)$/is.exec(text) ?? [];
  const secure = scheme === undefined ? tls : scheme.toLowerCase() === "https";
  if (scheme !== undefined && !secure && scheme.toLowerCase() !== "http") refuse("has an unknown scheme");
  if (tls && !secure) refuse("uses http, but tls options are given");

  if (rest.includes("@")) refuse("must not hold a user name or password (use the auth option)");
  const authority = rest.replace(/\/$/, ""); // what a URL's own text form ends with
  if (/[/?#\\]/.test(authority)) refuse("must not have a path, query or fragment");

  const { host, port } = splitPort(authority);
  const ascii = isIPv6(host) ? host : host.includes(":") || host.includes("[") ? "" : domainToASCII(host);
  if (ascii === "") refuse(host === "" ? "has no host" : "has no valid host");
  if (port !== undefined && !/^\d{1,5}$/.test(port)) refuse("has no valid port");
  const number = port === undefined ? defaultPort : Number(port);
  if (number < 1 || number > 65535) refuse("has a port out of range");
  return { host: ascii, port: number, secure, url: `${secure ? "https" : "http"}://${isIPv6(ascii) ? `[${ascii}]` : ascii}:${number}` };
}

function splitPort(authority: string): { host: string; port: string | undefined } {
  if (isIPv6(authority)) return { host: authority, port: undefined };
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/s.exec(authority);
  if (bracketed !== null) return { host: isIPv6(bracketed[1] ?? "") ? (bracketed[1] ?? "") : "[", port: bracketed[2] };
  const colon = authority.lastIndexOf(":");
  return colon < 0 ? { host: authority, port: undefined } : { host: authority.slice(0, colon), port: authority.slice(colon + 1) };
}
