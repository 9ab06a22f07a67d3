/**
 * Servers that announce themselves, and a client that spreads its requests. Shows `announce`, `live()` maps and `waitFor`.
 *
 * `servers/NAME` holds a server's URL, bound to a lease: when the server dies, its entry goes too. The client needs no
 * list of its own, asks for none, and has none that is out of date. In an etcd, one process each:
 *
 *   export EVENT_VALUE_STORE=http://127.0.0.1:2379
 *   npm run example -- service-discovery client --store $EVENT_VALUE_STORE
 *   npm run example -- service-discovery server a --store $EVENT_VALUE_STORE
 *   npm run example -- service-discovery server b --store $EVENT_VALUE_STORE
 */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { announce, distinctUntilChanged, type Keyspace, map, MemoryValue, pipeTo, text, waitFor } from "event-value";
import { type Example, run } from "./shared/run.ts";

const ttlMs = 2000;

/** Serves until `signal` is aborted. Takes itself off the list first, then ends. */
async function serve(keyspace: Keyspace, name: string, signal: AbortSignal): Promise<void> {
  const server = await listen(name);
  const { port } = server.address() as AddressInfo;
  const url = new MemoryValue({ initial: `http://127.0.0.1:${port}` });
  await announce(keyspace, keyspace.value(`servers/${name}`, text), url, { ttlMs, signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  server.close();
  server.closeIdleConnections();
}

async function listen(name: string): Promise<Server> {
  const server = createServer((_, response) => response.end(name)).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

/** Sends a request after the other, each to the next of the servers that are there. */
async function request(keyspace: Keyspace, signal: AbortSignal): Promise<void> {
  const servers = await keyspace.range("servers/", text).live({ signal });
  const names = distinctUntilChanged(map(servers, () => [...servers.keys()].join(", ") || "none"));
  void pipeTo(names, (list) => console.log(`known: ${list}`), { signal });

  for (let turn = 0; ; turn++) {
    // No server, no request: it is sent when there is one.
    if (servers.size === 0) await waitFor(servers, () => servers.size > 0, { signal });
    const urls = [...servers.values()];
    for (let i = 0; i < urls.length; i++) {
      const url = urls[(turn + i) % urls.length] as string;
      try {
        const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(1000)]) });
        console.log(`${await response.text()} answers`);
        break;
      } catch {
        signal.throwIfAborted();
        // It is dead, and its lease has not run out yet.
        console.log(`${url} does not answer: on to the next`);
      }
    }
    await delay(100, undefined, { signal });
  }
}

/** The client, unless it is told to be a server. */
function program({ keyspace, signal, args: [role, name = String(process.pid)] }: Example): Promise<void> {
  return role === "server" ? serve(keyspace, name, signal) : request(keyspace, signal);
}

await run(program, async ({ keyspace, signal }, step) => {
  await step("the client waits for a server");
  const a = new AbortController();
  void serve(keyspace, "a", AbortSignal.any([a.signal, signal]));
  for (const name of ["b", "c"]) void serve(keyspace, name, signal);
  await step("three servers come");

  const doomed = await listen("d");
  const lease = await keyspace.lease({ ttlMs });
  const url = `http://127.0.0.1:${(doomed.address() as AddressInfo).port}`;
  await step("a fourth one comes", () => keyspace.value("servers/d", text).set(url, { lease }));
  await step("d dies: until its lease has run out the client tries it, and takes another", () => {
    doomed.close();
    doomed.closeAllConnections();
  });
  await step("its lease has run out: the client does not try it any more", () => lease.close());
  await step("a is stopped: it takes its leave before it ends, and no request is lost", () => a.abort());
});
