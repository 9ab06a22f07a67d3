/** What the store holds, written and read past the library, by etcd's JSON gateway. */
import { afterAll, beforeAll } from "vitest";
import { type EtcdServer, startEtcd } from "../support/etcd.ts";
import { enableAuth } from "../support/users.ts";
import type { Built } from "./built.ts";

function base64(text: string | Uint8Array): string {
  return Buffer.from(text as string).toString("base64");
}

export class Store {
  readonly etcd: EtcdServer;

  constructor(etcd: EtcdServer) {
    this.etcd = etcd;
  }

  /** @returns the revision of the write */
  async put(key: string | Uint8Array, value: string | Uint8Array): Promise<number> {
    const answer = (await this.etcd.call("/v3/kv/put", { key: base64(key), value: base64(value) })) as {
      header: { revision: string };
    };
    return Number(answer.header.revision);
  }

  /** @returns the revision of the deletion */
  async delete(key: string): Promise<number> {
    const answer = (await this.etcd.call("/v3/kv/deleterange", { key: base64(key) })) as {
      header: { revision: string };
    };
    return Number(answer.header.revision);
  }

  /** The bytes under a key; undefined where it is absent. */
  async get(key: string): Promise<Buffer | undefined> {
    const { kvs } = (await this.etcd.call("/v3/kv/range", { key: base64(key) })) as { kvs?: { value?: string }[] };
    return kvs?.[0] === undefined ? undefined : Buffer.from(kvs[0].value ?? "", "base64");
  }

  /** The revisions in which keys were last changed, each once. */
  async revisionsOf(keys: readonly string[]): Promise<number[]> {
    const answers = await Promise.all(keys.map((key) => this.etcd.call("/v3/kv/range", { key: base64(key) })));
    return [
      ...new Set((answers as { kvs: { mod_revision: string }[] }[]).map(({ kvs }) => Number(kvs[0]?.mod_revision))),
    ];
  }

  /** Grants a lease that nobody keeps alive. */
  async grant(seconds: number): Promise<string> {
    const { ID } = (await this.etcd.call("/v3/lease/grant", { TTL: seconds })) as { ID: string };
    return ID;
  }

  /** What is left of a lease's time to live, negative where there is no such lease, and all of it, in seconds. */
  async lease(id: string): Promise<{ left: number; granted: number }> {
    const { TTL = 0, grantedTTL } = (await this.etcd.call("/v3/lease/timetolive", { ID: id })) as {
      TTL?: string;
      grantedTTL: string;
    };
    return { left: Number(TTL), granted: Number(grantedTTL) };
  }

  async revoke(id: string): Promise<void> {
    await this.etcd.call("/v3/lease/revoke", { ID: id });
  }

  /**
   * Users, each with the password `NAME's` and what it may do with keys that begin with `NAME/`; beside them `root`.
   * From then on everybody has to say who they are.
   */
  async enableAuth(users: Readonly<Record<string, "READ" | "WRITE" | "READWRITE">>): Promise<void> {
    const known = Object.entries(users).map(([username, what]) => ({
      username,
      password: `${username}'s`,
      may: { what, start: `${username}/`, end: `${username}0` },
    }));
    await enableAuth(this.etcd, [...known, { username: "root", password: "root's" }]);
  }
}

/** Gives the tests of a block a store of their own, to which the processes of `built` are led. */
export function useStore(built: () => Built, begin: (store: Store) => void): void {
  let etcd: EtcdServer;
  beforeAll(async () => {
    etcd = await startEtcd();
    begin(new Store(etcd));
    built().env = { EVENT_VALUE_STORE: etcd.endpoint };
  });
  afterAll(() => etcd[Symbol.asyncDispose]());
}
