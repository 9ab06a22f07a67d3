/** Users of a store, and what they may do. */
import type { EtcdServer } from "./etcd.ts";

export interface User {
  readonly username: string;
  readonly password: string;
  /** With the keys from `start` up to `end`, where "\0" is the end of all; root may do anything. */
  readonly may?: { readonly what: "READ" | "WRITE" | "READWRITE"; readonly start: string; readonly end: string };
}

/** Makes a store ask who one is. The users, root among them, have a role each, of the same name. */
export async function enableAuth(etcd: EtcdServer, users: readonly User[]): Promise<void> {
  const call = (path: string, body: unknown): Promise<unknown> => etcd.call(`/v3/auth/${path}`, body);
  for (const { username: name, password, may } of users) {
    await call("user/add", { name, password });
    await call("role/add", { name });
    await call("user/grant", { user: name, role: name });
    if (may === undefined) continue;
    const perm = { permType: may.what, key: base64(may.start), range_end: base64(may.end) };
    await call("role/grant", { name, perm });
  }
  await call("enable", {});
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
