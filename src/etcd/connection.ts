/**
 * Connections to an endpoint, made by `@grpc/grpc-js`: one at a time in each lane, bounded in time while it is
 * made and destroyed for good in the end.
 *
 * Left to itself, grpc-js connects again by itself and at its own pace, waits without end for a server that accepts
 * but says nothing, and keeps sockets that are still connecting beyond the end of their channel. Here, a channel
 * serves for one connection and is destroyed with it, socket and all.
 *
 * Two things that grpc-js does not document are relied on: that the address a resolver gives is handed to
 * `net.connect` as it is, and how credentials make a connector. Tests tell if either changes.
 */
import { X509Certificate } from "node:crypto";
import { isIP, isIPv6, type Socket } from "node:net";
import { checkServerIdentity, connect as connectTls, createSecureContext, type SecureContext } from "node:tls";
import {
  ChannelCredentials,
  type ChannelInterface,
  type ChannelOptions,
  Client,
  connectivityState,
  credentials,
  experimental,
} from "@grpc/grpc-js";
import type { Endpoint } from "./endpoint.ts";
import type { ConnectOptions, TlsOptions } from "./transport.ts";

/** A place for one connection at a time: the one that new calls go to. */
export class Lane {
  readonly #dial: () => Connection;
  #connection: Connection | undefined;

  constructor(dial: () => Connection) {
    this.#dial = dial;
  }

  connection(): Connection {
    if (this.#connection === undefined || this.#connection.retired) this.#connection = this.#dial();
    return this.#connection;
  }

  close(): void {
    this.#connection?.destroy();
    this.#connection = undefined;
  }
}

/**
 * One channel of grpc-js, used for one connection.
 *
 * A channel would connect again by itself, at its own pace, also when nobody calls. So it is *retired* as soon as
 * its connection fails or breaks: it takes no new calls, and is destroyed when the last one on it has ended.
 */
export class Connection {
  readonly client: Client;
  readonly channel: ChannelInterface;
  /** What the peer of a call is called while the call has no connection. */
  readonly target: string;
  retired = false;
  /** Why there was no connection, where this side gave up on it. */
  problem: string | undefined;
  #calls = 0;
  /** Aborting it destroys the socket, in whatever state it is. */
  readonly #socket: AbortController;
  readonly #connectTimeoutMs: number;
  /** Runs while there is no connection yet. */
  #timer: NodeJS.Timeout | undefined;
  #destroyed = false;

  constructor(client: Client, socket: AbortController, connectTimeoutMs: number) {
    this.client = client;
    this.channel = client.getChannel();
    this.target = this.channel.getTarget();
    this.#socket = socket;
    this.#connectTimeoutMs = connectTimeoutMs;
    this.#await(connectivityState.IDLE);
  }

  enter(): void {
    this.#calls++;
  }

  leave(): void {
    this.#calls--;
    if (this.retired && this.#calls === 0) this.destroy();
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = this.retired = true;
    clearInterval(this.#timer);
    this.client.close();
    this.#socket.abort();
  }

  #await(state: connectivityState): void {
    this.channel.watchConnectivityState(state, Infinity, () => {
      if (!this.#destroyed) this.#changed(this.channel.getConnectivityState(false));
    });
  }

  #changed(state: connectivityState): void {
    if (state === connectivityState.CONNECTING) this.#timer ??= this.#countDown();
    else {
      clearInterval(this.#timer);
      this.#timer = undefined;
      if (state !== connectivityState.READY) {
        this.retired = true;
        if (this.#calls === 0) return this.destroy();
      }
    }
    this.#await(state);
  }

  /** Gives up after ten ticks: time in which the event loop stands still, and nobody could connect, is one of them. */
  #countDown(): NodeJS.Timeout {
    let left = 10;
    const tick = (): void => {
      if (--left > 0) return;
      this.problem = `no connection within ${this.#connectTimeoutMs} ms`;
      this.destroy();
    };
    return setInterval(tick, this.#connectTimeoutMs / left).unref();
  }
}

/** Makes connections to one endpoint. With `patience`, a probe may go unanswered for so many times as long. */
export type Dial = (patience?: number) => Connection;

/** What makes the connections to `endpoint`. */
export function dialer(endpoint: Endpoint, options: ConnectOptions): Dial {
  const { tls = {}, connectTimeoutMs = 2000, keepAliveMs = 10_000, keepAliveTimeoutMs = 3000 } = options;
  const trust = endpoint.secure
    ? new TlsCredentials(secureContext(tls), tls.serverName ?? endpoint.host)
    : credentials.createInsecure();
  const authority = isIPv6(endpoint.host) ? `[${endpoint.host}]:${endpoint.port}` : `${endpoint.host}:${endpoint.port}`;
  const channelOptions: ChannelOptions = {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    // The default of 64 kB a round trip makes 20 MB take 11 s where a round trip takes 10 ms; with this, 0.2 s.
    "grpc-node.flow_control_window": 4 << 20,
    "grpc.keepalive_time_ms": Math.max(keepAliveMs, 5000),
    // A server counts probes of a connection without calls as abuse.
    "grpc.keepalive_permit_without_calls": 0,
    // One attempt a call: who calls knows better whether and when to try again.
    "grpc.enable_retries": 0,
    // Never waited for here, but what failed to connect is kept in memory for so long.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.use_local_subchannel_pool": 1,
    // Members are reached directly, whatever the environment says about a proxy for the web.
    "grpc.enable_http_proxy": 0,
    "grpc.enable_channelz": 0,
  };
  experimental.registerResolver(scheme, AddressResolver);
  return (patience = 1) => {
    const socket = new AbortController();
    const address: DialAddress = {
      host: endpoint.host,
      port: endpoint.port,
      get signal() {
        // A channel that was closed after it had failed to connect tries once more; it shall not get to a socket.
        if (socket.signal.aborted) throw new Error("the connection was given up");
        return socket.signal;
      },
    };
    const client = new Client(`${scheme}:${authority}`, trust, {
      ...channelOptions,
      "grpc.keepalive_timeout_ms": patience * keepAliveTimeoutMs,
      [addressOption]: address,
    });
    return new Connection(client, socket, connectTimeoutMs);
  };
}

const scheme = "event-value";
const addressOption = "event-value.address";

/** What grpc-js hands to `net.connect` as it is: thus the name is resolved, and the signal heeded, by each connection. */
interface DialAddress {
  readonly host: string;
  readonly port: number;
  readonly signal: AbortSignal;
}

/**
 * Answers with the one address that the channel's options hold.
 *
 * grpc-js' own resolver would look names up at most twice a minute, and gives no way to destroy a socket that is
 * still connecting: it would hold the process for two minutes where a host does not answer.
 */
class AddressResolver implements experimental.Resolver {
  readonly #address: DialAddress;
  readonly #listener: experimental.ResolverListener;
  /** Asked again (it is, after each failure to connect), it has nothing to add. */
  #answered = false;

  constructor(_target: experimental.GrpcUri, listener: experimental.ResolverListener, options: ChannelOptions) {
    this.#address = options[addressOption] as DialAddress;
    this.#listener = listener;
  }

  updateResolution(): void {
    if (this.#answered) return;
    this.#answered = true;
    process.nextTick(() => {
      if (this.#answered)
        this.#listener(experimental.statusOrFromValue([{ addresses: [this.#address] }]), {}, null, "");
    });
  }

  destroy(): void {
    this.#answered = false;
  }

  static getDefaultAuthority(target: experimental.GrpcUri): string {
    return target.path;
  }
}

function secureContext({ ca, cert, key }: TlsOptions): SecureContext {
  if ((cert === undefined) !== (key === undefined)) throw new TypeError("tls.cert and tls.key must be given together");
  try {
    // A context of authorities that are none would trust nobody, and not say why.
    if (ca !== undefined) void new X509Certificate(pem(ca));
    return createSecureContext({ ca: pem(ca), cert: pem(cert), key: pem(key) });
  } catch (cause) {
    throw new TypeError("tls.ca, tls.cert and tls.key must be certificates and keys in PEM form", { cause });
  }
}

function pem(text: string | Uint8Array): string | Buffer;
function pem(text: string | Uint8Array | undefined): string | Buffer | undefined;
function pem(text: string | Uint8Array | undefined): string | Buffer | undefined {
  return text instanceof Uint8Array ? Buffer.from(text) : text;
}

/**
 * TLS. Unlike grpc-js' own it does not ask for an IP address by name, which the standard forbids and Node warns of,
 * and it says so where a server does not speak HTTP/2.
 */
class TlsCredentials extends ChannelCredentials {
  readonly #context: SecureContext;
  readonly #name: string;

  constructor(context: SecureContext, name: string) {
    super();
    this.#context = context;
    this.#name = name;
  }

  _isSecure(): boolean {
    return true;
  }

  _equals(other: ChannelCredentials): boolean {
    return other === this;
  }

  _createSecureConnector(): experimental.SecureConnector {
    return {
      connect: (socket) => this.#connect(socket),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => credentials.createEmpty(),
      destroy: () => undefined,
    };
  }

  #connect(socket: Socket): Promise<experimental.SecureConnectResult> {
    const name = this.#name;
    return new Promise((resolve, reject) => {
      const secure = connectTls({
        socket,
        secureContext: this.#context,
        ALPNProtocols: ["h2"],
        ...(isIP(name) === 0 ? { servername: name } : undefined),
        checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
      });
      secure.once("error", reject);
      secure.once("close", () => reject(new Error("connection closed while TLS was agreed on")));
      secure.once("secureConnect", () => {
        if (secure.alpnProtocol === "h2") resolve({ socket: secure, secure: true });
        else secure.destroy(new Error("the server does not speak HTTP/2"));
      });
    });
  }
}
