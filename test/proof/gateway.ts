/**
 * The store's JSON gateway: how the proof writes to the store and learns what became of it. It owes nothing to the
 * library that is proved, and goes past the proxies that fail on demand.
 */
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

/** A header as the gateway writes it: 64-bit numbers are strings. */
export interface Header {
  readonly cluster_id: string;
  readonly member_id: string;
  readonly revision: string;
  readonly raft_term: string;
}

/** A key as the gateway writes it, in base64. */
export interface GatewayKey {
  readonly key: string;
  readonly value?: string;
  readonly mod_revision: string;
  readonly create_revision: string;
}

export interface RangeAnswer {
  readonly header: Header;
  readonly kvs?: readonly GatewayKey[];
}

export interface StatusAnswer {
  readonly header: Header;
  readonly leader?: string;
}

/** What a member refused. */
export class Refused extends Error {}

/** The root of a cluster that asks who one is. */
export const root = { name: "root", password: "root" };

/** Calls to one member. */
export class Gateway implements Disposable {
  readonly endpoint: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  #token: string | undefined;

  constructor(endpoint: string) {
    this.endpoint = endpoint;
  }

  /** Calls as root, once; `path` is without `/v3/`. @throws {@link Refused}, or what went wrong with the connection */
  async call<Answer>(path: string, body: unknown = {}, timeoutMs = 3000): Promise<Answer> {
    const signal = AbortSignal.timeout(timeoutMs);
    for (let attempt = 1; ; attempt++) {
      const token = this.#token;
      try {
        return JSON.parse(await readAll(await this.#send(path, body, token, signal))) as Answer;
      } catch (error) {
        const text = (error as Error).message;
        // A member that has not come as far as the token is old waits until it has, which of another cluster is never.
        if (signal.aborted && this.#token === token) this.#token = undefined;
        if (!(error instanceof Refused) || attempt === 3) throw error;
        // Asked with no token, or one that the member does not know (any more).
        if (!/auth token|user name is empty|auth store is old|in header is old/.test(text)) throw error;
        if (this.#token === token) this.#token = await this.authenticate(root.name, root.password, signal);
      }
    }
  }

  /** @returns a token */
  async authenticate(name: string, password: string, signal?: AbortSignal): Promise<string> {
    const answer = await readAll(await this.#send("auth/authenticate", { name, password }, undefined, signal));
    return (JSON.parse(answer) as { token: string }).token;
  }

  /** Calls with `token`, once. */
  async callAs<Answer>(token: string, path: string, body: unknown): Promise<Answer> {
    return JSON.parse(await readAll(await this.#send(path, body, token, AbortSignal.timeout(3000)))) as Answer;
  }

  /** The answers of a stream, a line each, until it ends or `signal` is aborted, which throws. */
  async *stream<Answer>(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<Answer, void, undefined> {
    // A token that is valid, for the stream cannot be asked again.
    await this.call("kv/range", { key: base64("\0"), keys_only: true, serializable: true });
    const response = await this.#send(path, body, this.#token, signal);
    for await (const line of createInterface({ input: response, crlfDelay: Infinity })) {
      const { result, error } = JSON.parse(line) as { result?: Answer; error?: { message: string } };
      if (result === undefined) throw new Refused(error?.message ?? line);
      yield result;
    }
  }

  /** The member's counters and gauges: the sum of all samples of `name`. */
  async metric(name: string): Promise<number> {
    const sent = request(`${this.endpoint}/metrics`, { agent: this.#agent, signal: AbortSignal.timeout(3000) }).end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    const lines = (await readAll(response)).split("\n").filter((line) => line.startsWith(name));
    const samples = lines.filter((line) => /^[ {]/.test(line.slice(name.length)));
    return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  }

  status(timeoutMs?: number): Promise<StatusAnswer> {
    return this.call("maintenance/status", {}, timeoutMs);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  async #send(
    path: string,
    body: unknown,
    token: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<IncomingMessage> {
    const headers = token === undefined ? {} : { authorization: token };
    const options = { method: "POST", agent: this.#agent, headers, ...(signal && { signal }) };
    const sent = request(`${this.endpoint}/v3/${path}`, options).end(JSON.stringify(body));
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    if (response.statusCode === 200) return response;
    throw new Refused(`${path}: ${response.statusCode}: ${await readAll(response)}`);
  }
}

/** Makes a call of one member after the other until one has answered, for as long as a cluster takes to recover. */
export async function insist<Answer>(
  gateways: readonly Gateway[],
  call: (gateway: Gateway) => Promise<Answer>,
): Promise<Answer> {
  for (let i = 0; ; i++) {
    try {
      return await call(gateways[i % gateways.length]!);
    } catch (error) {
      if (i === 60) throw error;
      await delay(100);
    }
  }
}

/** Whether a call is refused with `why`; other failures are thrown. */
export function isRefused(call: Promise<unknown>, why: string): Promise<boolean> {
  return call.then(
    () => false,
    (error: Error) => {
      if (error.message.includes(why)) return true;
      throw error;
    },
  );
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

export function unbase64(text: string | undefined): string {
  return Buffer.from(text ?? "", "base64").toString();
}
