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
      throw new TypeError(
        `endpoints[${index + 1}] must use ${first.secure ? "https" : "http"}, as endpoints[0] does: ${other.url}`,
      );
    }
  }
  return [first, ...others];
}

function parseEndpoint(text: unknown, name: string, tls: boolean): Endpoint {
  if (typeof text !== "string") throw mustBe(name, "a string", text);
  const refuse = (why: string): never => {
    const shown = JSON.stringify(text.replace(/^(.*:\/\/)?.*@/s, "$1***@"));
    throw new TypeError(`${name} ${why}: ${shown} (expected something like "http://127.0.0.1:${defaultPort}")`);
  };

  const [, scheme, rest = ""] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(.*)$/is.exec(text) ?? [];
  const secure = scheme === undefined ? tls : scheme.toLowerCase() === "https";
  if (scheme !== undefined && !secure && scheme.toLowerCase() !== "http") refuse("has an unknown scheme");
  if (tls && !secure) refuse("uses http, but tls options are given");
  if (rest.includes("@")) refuse("must not hold a user name or password (use the auth option)");
  const authority = rest.replace(/\/$/, ""); // what a URL's own text form ends with
  if (/[/?#\\]/.test(authority)) refuse("must not have a path, query or fragment");

  // Without brackets, an IPv6 address is all there is: its colons are no port's.
  const [, bracketed, plain = "", portText] = isIPv6(authority)
    ? [authority, authority]
    : (/^(?:\[(.*)\]|([^:]*))(?::(.*))?$/s.exec(authority) ?? refuse("has no valid host"));
  if (bracketed === undefined && plain === "") refuse("has no host");
  const host = bracketed ?? domainToASCII(plain);
  if (bracketed === undefined ? host === "" : !isIPv6(bracketed)) refuse("has no valid host");
  const port = portText === undefined ? defaultPort : Number(portText);
  if (portText !== undefined && !/^\d{1,5}$/.test(portText)) refuse("has no valid port");
  if (port < 1 || port > 65535) refuse("has a port out of range");

  const url = `${secure ? "https" : "http"}://${bracketed === undefined ? host : `[${host}]`}:${port}`;
  return { host, port, secure, url };
}
