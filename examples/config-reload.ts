/**
 * A server that is restarted only when its own part of the configuration changed. Shows `skipInvalid`, and `runLatest` with `select`.
 *
 * `config` holds JSON. A greeting takes effect at once, `server` by a restart; what the schema refuses changes nothing.
 * Run the server on an etcd, and change its configuration from another terminal:
 *
 *   export EVENT_VALUE_STORE=http://127.0.0.1:2379
 *   npm run example -- config-reload --store $EVENT_VALUE_STORE
 *   npx event-value set config '{"greeting":"hi","server":{"port":8080}}'
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { json, MemoryValue, pipeTo, runLatest, skipInvalid, text } from "event-value";
import * as z from "zod";
import { run } from "./shared/run.ts";

const schema = z.object({
  greeting: z.string().default("hello"),
  /** Port 0 is any that is free. */
  server: z
    .object({ port: z.int().min(0).max(65535).default(0), requestTimeoutMs: z.int().min(1).default(5000) })
    .prefault({}),
});

/** The URL of the running server. */
const url = new MemoryValue({ initial: "" });

await run(
  async ({ keyspace, signal }) => {
    const stored = keyspace.value("config", json(schema), { default: schema.parse({}) });
    const valid = skipInvalid(stored, ({ key, cause }) => {
      console.log(`ignored what ${key} holds: ${(cause as Error).message}`);
    });
    const config = new MemoryValue<z.infer<typeof schema>>();
    const following = pipeTo(valid, config, { signal });

    const serving = runLatest(
      config,
      async ({ server: { port, requestTimeoutMs } }, { signal: stopped, previous }) => {
        const server = createServer({ requestTimeout: requestTimeoutMs }, (_, response) => {
          response.end(config.current?.greeting);
        });
        try {
          await once(server.listen(port, "127.0.0.1"), "listening");
        } catch (error) {
          return console.log(`no server until the next change: ${(error as Error).message}`);
        }
        url.set(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
        console.log(`${previous === undefined ? "started" : "restarted"}: ${url.current}, ${requestTimeoutMs} ms`);
        if (!stopped.aborted) await once(stopped, "abort");
        // The next run begins when this one has settled: when the port is free again.
        await once(server.close(), "close");
      },
      { select: ({ server }) => server, equals: isDeepStrictEqual, signal },
    );
    await Promise.all([following, serving]);
  },
  async ({ keyspace }, step) => {
    const config = keyspace.value("config", text);
    const ask = async (): Promise<void> => console.log(`it says: ${await (await fetch(url.current)).text()}`);
    await step("nothing is stored: the server starts with the defaults");
    await step("the greeting changes: no restart", () => config.set('{"greeting":"good morning"}'));
    await ask();
    await step("the timeout changes: a restart", () =>
      config.set('{"greeting":"good morning","server":{"requestTimeoutMs":1000}}'),
    );
    await ask();
    await step("somebody mistypes it: the server goes on", () => config.set('{"server":{"port":"eighty"}}'));
    await ask();
    await step("what is there is replaced by something right: no restart", () =>
      config.set('{"greeting":"good evening","server":{"requestTimeoutMs":1000}}'),
    );
    await ask();
  },
);
