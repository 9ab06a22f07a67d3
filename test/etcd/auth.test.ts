import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { text } from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { PermissionType } from "../../src/etcd/proto/generated/etcd.ts";
import { authDisable, authEnable, put, range, roleGrantPermission } from "../../src/etcd/proto/methods.ts";
import { prefixEnd } from "../../src/range/keys.ts";
import { etcdAvailable } from "../support/etcd.ts";
import { codeOf, observe, rejection } from "../support/promises.ts";
import { startProxy } from "../support/proxy.ts";
import { enableAuth } from "../support/users.ts";
import { startLine } from "./line.ts";
import { freshPrefix, raw, useEtcd } from "./store.ts";

const root = { username: "root", password: "of all" };
const user = { username: "user", password: "right" };
const backlog = { backlogOnly: true };

describe.skipIf(!etcdAvailable)("users and passwords in etcd", () => {
  /** Tokens that nobody uses expire after a second, or a bit more. */
  const server = useEtcd({ args: ["--auth-token-ttl=1", "--bcrypt-cost=4"] });

  beforeAll(async () => {
    await enableAuth(server.etcd, [root, { ...user, may: { what: "READWRITE", start: "shared/", end: "shared0" } }]);
  });

  afterAll(async () => {
    await server.store.call(authDisable, {}, { token: await rootToken() });
  });

  async function rootToken(): Promise<string> {
    return server.store.authenticate(root);
  }

  /** Lets the user read and write what begins with `prefix`. */
  async function grant(prefix: string): Promise<void> {
    const perm = { permType: PermissionType.READWRITE, key: raw(prefix), rangeEnd: prefixEnd(raw(prefix)) };
    await server.store.call(roleGrantPermission, { name: user.username, perm }, { token: await rootToken() });
  }

  /** Writes as root. */
  async function write(key: string, value: string): Promise<void> {
    await server.store.call(put, { key: raw(key), value: raw(value) }, { token: await rootToken() });
  }

  /** A keyspace of the user, who may do anything in it. It makes no call of its own that would keep a token alive. */
  async function setUp(options: object = {}): Promise<{ keyspace: EtcdKeyspace; namespace: string }> {
    const namespace = freshPrefix();
    await grant(namespace);
    const keyspace = new EtcdKeyspace({
      endpoints: server.etcd.endpoint,
      namespace,
      auth: user,
      staleAfterMs: 600_000,
      ...options,
    });
    return { keyspace, namespace };
  }

  /** Resolves when every token that is not used meanwhile has expired. */
  async function expired(): Promise<void> {
    const request = { key: raw("shared/key") };
    // Asking with a token gives it another second, so each of these is asked with once.
    const tokens = await Promise.all(Array.from({ length: 20 }, () => server.store.authenticate(user)));
    for (const token of tokens) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      const refused = server.store.call(range, request, { token }).then(
        () => false,
        () => true,
      );
      if (await refused) return;
    }
    throw new Error("tokens do not expire");
  }

  test("with the right password everything works", async () => {
    const { keyspace } = await setUp();
    await using _ = keyspace;
    const value = keyspace.value("key", text);
    using watcher = value.watch();
    using status = keyspace.status.watch();
    const first = watcher.get();
    await value.set("1");
    expect(await first).toBe("1");
    await value.update((current) => `${current}!`);
    expect(await watcher.get()).toBe("1!");
    await using lease = await keyspace.lease({ ttlMs: 60_000 });
    await keyspace.value("leased", text).set("1", { lease });
    expect((await keyspace.range("", text).read()).changes).toHaveLength(2);
    expect(await status.get({ filter: ({ state }) => state === "live" })).toMatchObject({ state: "live" });
  });

  test("many calls at once share one token", async () => {
    const { keyspace } = await setUp();
    await using _ = keyspace;
    const before = await server.store.calls("Authenticate");
    await Promise.all(Array.from({ length: 50 }, (_unused, i) => keyspace.value(`${i}`, text).set("1")));
    expect(await server.store.calls("Authenticate")).toBe(before + 1);
  });

  test.each([
    ["a wrong password", { username: "user", password: "wrong" }],
    ["an unknown user", { username: "nobody", password: "right" }],
    ["no user", undefined],
  ])("%s: EV_UNAUTHENTICATED rejects the get, and the watcher stays usable", async (_title, auth) => {
    const { keyspace } = await setUp({ auth });
    await using _ = keyspace;
    using watcher = keyspace.value("key", text).watch();
    using all = keyspace.range("", text).watch();
    for (let round = 0; round < 3; round++) {
      expect(await codeOf(watcher.get())).toBe("EV_UNAUTHENTICATED");
      expect(await codeOf(all.getBatch())).toBe("EV_UNAUTHENTICATED");
    }
    const error = await rejection(watcher.get(backlog));
    expect(error).toMatchObject({ code: "EV_UNAUTHENTICATED", cause: expect.any(Error) });
    expect((error as Error).message).not.toContain("wrong");
    expect(await codeOf(keyspace.value("key", text).read())).toBe("EV_UNAUTHENTICATED");
    expect(await codeOf(keyspace.value("key", text).set("1"))).toBe("EV_UNAUTHENTICATED");
  });

  test("a wrong password is the cause that the status tells, and nothing spins", async () => {
    const { keyspace } = await setUp({ auth: { username: "user", password: "wrong" }, staleAfterMs: 600 });
    await using _ = keyspace;
    using status = keyspace.status.watch();
    using watcher = keyspace.value("key", text).watch();
    expect(await codeOf(watcher.get())).toBe("EV_UNAUTHENTICATED");
    const told = await status.get({ filter: (now) => now.state === "connecting" && now.cause !== undefined });
    expect(String((told as { cause: unknown }).cause)).toContain("authentication failed");
    const before = await server.store.calls("Authenticate");
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect((await server.store.calls("Authenticate")) - before).toBeLessThan(6);
  });

  test("without a permission: EV_PERMISSION_DENIED, until it is granted", async () => {
    const { keyspace } = await setUp();
    await using _ = keyspace;
    const namespace = freshPrefix();
    const other = new EtcdKeyspace({ endpoints: server.etcd.endpoint, namespace, auth: user, staleAfterMs: 600_000 });
    await using __ = other;
    await write(`${namespace}key`, "1");
    const value = other.value("key", text);
    using watcher = value.watch();
    using all = other.range("", text).watch();
    for (let round = 0; round < 2; round++) {
      expect(await rejection(watcher.get())).toMatchObject({ code: "EV_PERMISSION_DENIED" });
      expect(await codeOf(all.getBatch())).toBe("EV_PERMISSION_DENIED");
    }
    expect(await rejection(value.read())).toMatchObject({ code: "EV_PERMISSION_DENIED", key: "key" });
    expect(await rejection(value.set("2"))).toMatchObject({ code: "EV_PERMISSION_DENIED", key: "key" });
    await grant(namespace);
    expect(await watcher.get()).toBe("1");
    expect(await all.getBatch()).toMatchObject({ type: "snapshot", changes: [{ key: "key" }] });
    await value.set("2");
    expect(await watcher.get()).toBe("2");
  });

  test("a permission for one key is enough for that key, and for the status", async () => {
    const namespace = freshPrefix();
    const token = await rootToken();
    const perm = { permType: PermissionType.READ, key: raw(`${namespace}key`) };
    await server.store.call(roleGrantPermission, { name: user.username, perm }, { token });
    await write(`${namespace}key`, "1");
    await using proxy = await startProxy(server.etcd.port);
    await using keyspace = new EtcdKeyspace({ endpoints: proxy.endpoint, namespace, auth: user, staleAfterMs: 3000 });
    const value = keyspace.value("key", text);
    using watcher = value.watch();
    using status = keyspace.status.watch();
    expect(await watcher.get()).toBe("1");
    await status.get({ filter: ({ state }) => state === "live" });
    using joiner = value.watch();
    expect(await joiner.get()).toBe("1");
    await proxy.cut();
    await write(`${namespace}key`, "2");
    await proxy.heal();
    expect(await watcher.get()).toBe("2");
    expect(await codeOf(value.set("3"))).toBe("EV_PERMISSION_DENIED");
    expect(await codeOf(keyspace.value("other", text).read())).toBe("EV_PERMISSION_DENIED");
  });

  test("one range that is refused leaves the others alone", async () => {
    const { keyspace } = await setUp();
    await using _ = keyspace;
    const bare = new EtcdKeyspace({ endpoints: server.etcd.endpoint, auth: user, staleAfterMs: 600_000 });
    await using __ = bare;
    const shared = bare.value(`shared/${freshPrefix()}key`, text);
    using allowed = shared.watch();
    expect(await codeOf(allowed.get(backlog))).toBe("EV_BACKLOG_DONE");
    const waiting = allowed.get();
    using refused = bare.value("forbidden", text).watch();
    using everything = bare.range("", text).watch();
    for (let round = 0; round < 3; round++) {
      expect(await codeOf(refused.get())).toBe("EV_PERMISSION_DENIED");
      expect(await codeOf(everything.getBatch())).toBe("EV_PERMISSION_DENIED");
    }
    await shared.set("1");
    expect(await waiting).toBe("1");
  });

  test("K9 an expired token is renewed unseen: running watches, new ones, reads, writes and resumes", async () => {
    const line = await startLine(server.etcd.port);
    const { keyspace, namespace } = await setUp({ endpoints: line.endpoint });
    try {
      const value = keyspace.value("key", text);
      const quiet = keyspace.value("quiet", text);
      using watcher = value.watch();
      using ofQuiet = quiet.watch();
      await value.set("0");
      expect(await watcher.get()).toBe("0");
      const waiting = ofQuiet.get();
      const outcome = observe(waiting);
      for (let round = 1; round <= 2; round++) {
        await expired();
        const before = await server.store.calls("Authenticate");
        if (round === 1) {
          // A new watch, on the stream that was opened with the token.
          using fresh = keyspace.value("fresh", text, { default: "none" }).watch();
          expect(await fresh.get()).toBe("none");
          await write(`${namespace}fresh`, "1");
          expect(await fresh.get()).toBe("1");
        } else {
          await value.set("written");
          expect(await watcher.get()).toBe("written");
        }
        // It bit: another token was asked for. One more was by the test.
        expect(await server.store.calls("Authenticate")).toBeGreaterThan(before + (round === 1 ? 1 : 0));
        // A resume, on another stream.
        line.reset(1);
        await write(`${namespace}key`, `${round}`);
        expect(await watcher.get()).toBe(`${round}`);
        expect(outcome()).toEqual({ state: "pending" });
      }
      await write(`${namespace}quiet`, "1");
      expect(await waiting).toBe("1");
    } finally {
      await keyspace.close();
      await line[Symbol.asyncDispose]();
    }
  });

  test("K9 a restart of the server forgets all tokens, and nobody notices", async () => {
    const { keyspace, namespace } = await setUp();
    await using _ = keyspace;
    const value = keyspace.value("key", text);
    using watcher = value.watch();
    await value.set("1");
    expect(await watcher.get()).toBe("1");
    const waiting = watcher.get();
    await server.etcd.restart();
    expect(await value.read()).toMatchObject({ value: "1" });
    await write(`${namespace}key`, "2");
    expect(await waiting).toBe("2");
  });

  test("K9 credentials that the cluster did not ask for are used as soon as it does", async () => {
    const { keyspace } = await setUp();
    await using _ = keyspace;
    await server.store.call(authDisable, {}, { token: await rootToken() });
    const value = keyspace.value("key", text);
    using watcher = value.watch();
    try {
      await value.set("1");
      expect(await watcher.get()).toBe("1");
    } finally {
      await server.store.call(authEnable, {});
    }
    await value.set("2");
    expect(await watcher.get()).toBe("2");
    using late = keyspace.value("late", text, { default: "none" }).watch();
    expect(await late.get()).toBe("none");
    await keyspace.value("late", text).set("1");
    expect(await late.get()).toBe("1");
    expect(await value.read()).toMatchObject({ value: "2" });
  });
});

describe.skipIf(!etcdAvailable)("users and passwords in an etcd that is replaced", () => {
  const server = useEtcd({ args: ["--bcrypt-cost=4"] });

  test("K9, K7 a token from before, which the new store waits for its log to come to, holds nobody up", async () => {
    await enableAuth(server.etcd, [root]);
    await using keyspace = new EtcdKeyspace({ endpoints: server.etcd.endpoint, auth: root, requestTimeoutMs: 500 });
    const value = keyspace.value("key", text, { default: "none" });
    // A token tells how long the store's log was when it was made.
    for (let i = 0; i < 50; i++) await value.set(`${i}`);
    await server.etcd.restart();
    using watcher = value.watch();
    expect(await watcher.get()).toBe("49");
    const waiting = watcher.get();
    await server.etcd.wipe();
    await enableAuth(server.etcd, [root]);
    expect(await waiting).toBe("none");
    expect(await value.read()).toBe(undefined);
  });
});
