import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { text } from "../../../src/index.ts";
import { EtcdKeyspace } from "../../../src/etcd/index.ts";
import { PermissionType } from "../../../src/etcd/proto/generated/etcd.ts";
import { authDisable, put, roleGrantPermission } from "../../../src/etcd/proto/methods.ts";
import { etcdAvailable } from "../../support/etcd.ts";
import { enableAuth } from "../../support/users.ts";
import { freshPrefix, raw, useEtcd } from "../store.ts";

const root = { username: "root", password: "of all" };
const user = { username: "user", password: "right" };
const ttlMs = 3000;

describe.skipIf(!etcdAvailable)("signed tokens (JWT) in etcd", () => {
  let folder: string;
  const server = useEtcd(() => {
    folder = mkdtempSync(join(tmpdir(), "event-value-jwt-"));
    const [key, pub] = [join(folder, "key.pem"), join(folder, "public.pem")];
    execFileSync("openssl", ["genrsa", "-out", key, "2048"], { stdio: "ignore" });
    execFileSync("openssl", ["rsa", "-in", key, "-pubout", "-out", pub], { stdio: "ignore" });
    const keys = `pub-key=${pub},priv-key=${key}`;
    return { args: [`--auth-token=jwt,${keys},sign-method=RS256,ttl=${ttlMs / 1000}s`, "--bcrypt-cost=4"] };
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  beforeAll(async () => {
    await enableAuth(server.etcd, [root, { ...user, may: { what: "READWRITE", start: "\0", end: "\0" } }]);
  });

  afterAll(async () => {
    await server.store.call(authDisable, {}, { token: await rootToken() });
  });

  async function rootToken(): Promise<string> {
    return server.store.authenticate(root);
  }

  /** Lets the user do what it may already, which changes the revision of the auth store. */
  async function grantAgain(): Promise<void> {
    const perm = { permType: PermissionType.READWRITE, key: raw("\0"), rangeEnd: raw("\0") };
    await server.store.call(roleGrantPermission, { name: user.username, perm }, { token: await rootToken() });
  }

  /** How many calls the server has refused for their token. */
  function refused(): Promise<number> {
    return server.store.metric("grpc_server_handled_total", 'grpc_code="Unauthenticated"');
  }

  function connect(): { keyspace: EtcdKeyspace; prefix: string } {
    const prefix = freshPrefix();
    const { endpoint: endpoints } = server.etcd;
    // Makes no call of its own for as long as a test takes.
    return { keyspace: new EtcdKeyspace({ endpoints, namespace: prefix, auth: user, staleAfterMs: 600_000 }), prefix };
  }

  test("K9 are renewed before they expire: no call is ever refused for one", async () => {
    const { keyspace } = connect();
    await using _ = keyspace;
    const value = keyspace.value("key", text);
    await value.set("first");
    const before = await refused();
    const authentications = await server.store.calls("Authenticate");
    const until = performance.now() + 1.5 * ttlMs;
    for (let i = 0; performance.now() < until; i++) {
      await Promise.all([value.set(`${i}`), value.read(), keyspace.range("", text).read()]);
      await delay(20);
    }
    expect(await refused()).toBe(before);
    const renewals = (await server.store.calls("Authenticate")) - authentications;
    expect(renewals, "one renewal at a time serves all").toBeGreaterThanOrEqual(1);
    expect(renewals).toBeLessThanOrEqual(3);
  });

  test("K9 that expire on a running stream: a new watch gets a new token and stream, the running ones lose nothing", async () => {
    const { keyspace, prefix } = connect();
    await using _ = keyspace;
    const staying = keyspace.range("staying/", text);
    using watcher = staying.watch();
    expect((await watcher.getBatch()).changes).toEqual([]);
    const seen: string[] = [];
    const consumer = (async () => {
      for await (const { changes } of watcher.batches()) {
        for (const change of changes) if (change.type === "put") seen.push(change.value);
        if (seen.at(-1) === "end") return;
      }
    })();
    // Each key once, so that none may be conflated.
    let written = 0;
    let writing = true;
    const producer = (async () => {
      while (writing) {
        const token = await rootToken();
        for (let i = 0; i < 20 && writing; i++) {
          await server.store.call(
            put,
            { key: raw(`${prefix}staying/${written}`), value: raw(`${written}`) },
            { token },
          );
          written++;
          await delay(5);
        }
      }
    })();
    await vi.waitFor(() => expect(seen.length).toBeGreaterThan(0));
    const streams = await server.store.calls("Watch");
    await delay(ttlMs + 1000);
    const until = seen.length;
    await vi.waitFor(() => expect(seen.length, "the watch outlives its token").toBeGreaterThan(until));
    expect(await server.store.calls("Watch")).toBe(streams);
    using fresh = keyspace.value("fresh", text, { default: "none" }).watch();
    expect(await fresh.get()).toBe("none");
    const told = fresh.get();
    await keyspace.value("fresh", text).set("1");
    expect(await told).toBe("1");
    expect(await server.store.calls("Watch"), "the stream of the old token is left").toBe(streams + 1);
    writing = false;
    await producer;
    await keyspace.value("staying/end", text).set("end");
    await consumer;
    expect(seen).toEqual([...Array.from({ length: written }, (_unused, i) => `${i}`), "end"]);
  });

  test("K9 are outdated by each change of a role: calls and watches do not notice", async () => {
    const { keyspace } = connect();
    await using _ = keyspace;
    const value = keyspace.value("key", text);
    await value.set("0");
    using watcher = value.watch();
    expect(await watcher.get()).toBe("0");
    const before = await server.store.calls("Authenticate");
    let changing = true;
    const administrator = (async () => {
      for (let i = 0; i < 50; i++) {
        await grantAgain();
        await delay(20);
      }
      changing = false;
    })();
    const outcomes: unknown[] = [];
    const worker = async (): Promise<void> => {
      for (let i = 0; changing; i++) {
        using joiner = keyspace.value(`${i % 3}`, text, { default: "none" }).watch();
        for (const act of [() => value.read(), () => value.set("1"), () => joiner.get()]) {
          outcomes.push(
            await act().then(
              () => "well",
              (error: unknown) => String(error),
            ),
          );
        }
      }
    };
    await Promise.all([worker(), worker(), worker(), administrator]);
    // It bit: the keyspace needed other tokens, beside the administrator's fifty.
    expect(await server.store.calls("Authenticate")).toBeGreaterThan(before + 60);
    expect(new Set(outcomes)).toEqual(new Set(["well"]));
  });
});
