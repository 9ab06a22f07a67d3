import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Client } from "../../../src/etcd/client.ts";
import { parseEndpoints } from "../../../src/etcd/endpoint.ts";
import { classify } from "../../../src/etcd/errors.ts";
import { authDisable, put } from "../../../src/etcd/proto/methods.ts";
import { WatchStream } from "../../../src/etcd/watch-stream.ts";
import { etcdAvailable } from "../../support/etcd.ts";
import { until } from "../../support/promises.ts";
import { enableAuth } from "../../support/users.ts";
import { raw, useEtcd } from "../store.ts";

const root = { username: "root", password: "of all" };
const user = { username: "user", password: "right" };

describe.skipIf(!etcdAvailable)("creates of watches in etcd", () => {
  const server = useEtcd({ args: ["--bcrypt-cost=4"] });

  beforeAll(async () => {
    await enableAuth(server.etcd, [root, { ...user, may: { what: "READWRITE", start: "may/", end: "may0" } }]);
  });

  afterAll(async () => {
    await server.store.call(authDisable, {}, { token: await server.store.authenticate(root) });
  });

  test("that fail among others that do not, on one stream, are told apart, and later ones still work", async () => {
    const client = new Client({
      endpoints: parseEndpoints(server.etcd.endpoint, false),
      auth: user,
      requestTimeoutMs: 10_000,
    });
    try {
      const stream = new WatchStream(client);
      /** What each watch was told, by its name. */
      const told: Record<string, string[]> = {};
      const watch = (name: string, key: string, rangeEnd?: string): void => {
        const notes: string[] = (told[name] = []);
        const spec = { key: raw(key), rangeEnd: rangeEnd === undefined ? undefined : raw(rangeEnd), startRevision: 1 };
        stream.watch(spec, {
          created: () => void notes.push("created"),
          events: (events) => void notes.push(...events.map((event) => `event of ${event.key}`)),
          progress: () => {},
          compacted: () => void notes.push("compacted"),
          refused: (reason) => void notes.push(`refused: ${classify(reason).kind}`),
          lost: () => void notes.push("lost"),
        });
      };
      watch("one", "may/1");
      watch("forbidden", "must not/1");
      watch("two", "may/2");
      watch("empty", "may/2", "may/1");
      watch("forbidden range", "m", "n");
      watch("three", "may/", "may0");
      await until(() => Object.values(told).every(({ length }) => length > 0));
      watch("later", "may/3");
      watch("later, forbidden", "must not/2");
      await until(() => Object.values(told).every(({ length }) => length > 0));
      const token = await server.store.authenticate(root);
      for (const key of ["may/1", "must not/1", "may/2", "may/3"]) {
        await server.store.call(put, { key: raw(key), value: raw("1") }, { token });
      }
      await until(() => told["three"]!.length === 4 && told["later"]!.length === 2);
      expect(told).toEqual({
        one: ["created", "event of may/1"],
        forbidden: ["refused: denied"],
        two: ["created", "event of may/2"],
        empty: [expect.stringMatching(/^refused: (permanent|denied)$/)],
        "forbidden range": ["refused: denied"],
        three: ["created", "event of may/1", "event of may/2", "event of may/3"],
        later: ["created", "event of may/3"],
        "later, forbidden": ["refused: denied"],
      });
      expect(await server.store.streams()).toBe(1);
    } finally {
      client.close();
    }
  });
});
