/** What the store holds, written and read past the library, by etcd's JSON gateway. */
import type { EtcdServer } from "../support/etcd.ts";
import { enableAuth } from "../support/users.ts";

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
