/** A cluster of three members behind proxies, with credentials, for a process that watches and faults that disturb it. */
import { own } from "./recording.ts";
import { setTimeout as delay } from "node:timers/promises";
import { startMembers, type EtcdServer } from "../support/etcd.ts";
import { type Link } from "../support/link.ts";
import { type Proxy, startProxy } from "../support/proxy.ts";
import { base64, Gateway, insist, isRefused, root, type StatusAnswer } from "./gateway.ts";
import { StoreHistory } from "./history.ts";
import { Oracle, prefixRange } from "./oracle.ts";
import { Writers } from "./writers.ts";

/** Where the watched keys are. */
export const namespace = "proof/";
/** Who watches them, and may do nothing else. */
export const user = { username: "watcher", password: "watcher" };

/** A member, and the ways to it. */
export interface Member {
  readonly server: EtcdServer;
  readonly gateway: Gateway;
  /** From each keyspace of the process that watches. */
  readonly clients: readonly Proxy[];
}

/** How many keyspaces there are, each with proxies of its own. */
export const keyspaces = 3;

export class World implements AsyncDisposable {
  readonly members: readonly Member[];
  readonly history: StoreHistory = new StoreHistory();
  readonly oracle: Oracle;
  readonly writers: Writers;
  readonly #gateways: readonly Gateway[];
  /** The ids of the members in hexadecimal, as they call themselves. They change with the cluster. */
  #ids: readonly string[] = [];

  private constructor(members: readonly Member[]) {
    this.members = members;
    this.#gateways = members.map(({ gateway }) => gateway);
    this.oracle = new Oracle(this.#gateways, this.history, namespace);
    this.writers = new Writers(this.#gateways, this.oracle, namespace);
  }

  /** Starts the cluster; `bin` is the server to run. */
  static async start(bin?: string): Promise<World> {
    const servers = await startMembers(3, {
      ...(bin !== undefined && { bin }),
      partitionable: true,
      // Small messages, so that a backlog comes in fragments; a log that is dropped soon, so that who was away long
      // gets a snapshot.
      args: [
        "--max-request-bytes=65536",
        "--max-txn-ops=64",
        "--bcrypt-cost=4",
        "--experimental-watch-progress-notify-interval=2s",
      ],
      snapshotCount: 500,
    });
    const members = await Promise.all(
      servers.map(async (server) => ({
        server,
        gateway: new Gateway(server.endpoint),
        clients: await Promise.all(Array.from({ length: keyspaces }, () => startProxy(server.port))),
      })),
    );
    const world = new World(members);
    await world.settle();
    return world;
  }

  get version(): string {
    return this.members[0]!.server.version;
  }

  /** Of a cluster that is new: users, the first state, and what it begins with. */
  async settle(): Promise<void> {
    await this.identify();
    // Where an answer is lost, the next one asked may have it already.
    const call = (path: string, body?: unknown): Promise<boolean> =>
      insist(this.#gateways, (gateway) => isRefused(gateway.call(`auth/${path}`, body), "already exists"));
    await call("role/add", { name: "root" });
    await call("role/add", { name: "watchers" });
    const { key, range_end } = prefixRange(namespace);
    await call("role/grant", { name: "watchers", perm: { permType: "READ", key, range_end } });
    await call("role/grant", { name: "watchers", perm: { permType: "WRITE", ...prefixRange(`${namespace}${own}`) } });
    for (const [name, password, role] of [
      [root.name, root.password, "root"],
      [user.username, user.password, "watchers"],
    ] as const) {
      await call("user/add", { name, password });
      await call("user/grant", { user: name, role });
    }
    await call("enable");
    await this.oracle.begin();
    await this.writers.found();
  }

  /** Learns the ids of the members. */
  async identify(): Promise<void> {
    const { members } = await this.members[0]!.gateway.call<{ members: { ID: string; name: string }[] }>(
      "cluster/member/list",
    );
    this.#ids = this.members.map(({ server }) => {
      const { ID } = members.find(({ name }) => name === server.name)!;
      return BigInt(ID).toString(16);
    });
  }

  /** The link by which member `from` reaches member `to`. */
  peerLink(from: number, to: number): Link {
    return this.members[to]!.server.inbound!.from(this.#ids[from]!);
  }

  /** The links between two members, both ways. */
  peerLinks(one: number, other: number): Link[] {
    return [this.peerLink(one, other), this.peerLink(other, one)];
  }

  id(member: number): string {
    return BigInt(`0x${this.#ids[member]!}`).toString();
  }

  /** The member that leads, by its own word and that of the highest term; waits until there is one. */
  async leader(): Promise<number> {
    for (let i = 0; ; i++) {
      const answers = await Promise.all(
        this.members.map(({ gateway }) => gateway.status(500).catch((): StatusAnswer | undefined => undefined)),
      );
      const leading = answers
        .map((answer, at) => ({ answer, at }))
        .filter(({ answer }) => answer !== undefined && answer.leader === answer.header.member_id)
        .sort((a, b) => Number(b.answer!.header.raft_term) - Number(a.answer!.header.raft_term));
      if (leading.length > 0) return leading[0]!.at;
      if (i === 150) throw new Error("the cluster has no leader");
      await delay(100);
    }
  }

  /** Resolves when every member runs, serves and knows its leader. */
  async healthy(): Promise<void> {
    for (let i = 0; ; i++) {
      const states = await Promise.all(this.members.map(({ server }) => server.isHealthy(AbortSignal.timeout(1000))));
      if (states.every(Boolean)) return;
      if (i === 300) throw new Error(`the cluster does not come back: healthy are ${states.join(", ")}`);
      await delay(100);
    }
  }

  /** Compacts what is before `revision`, by whichever member does it. @returns whether that was news to the store */
  async compact(revision: number): Promise<boolean> {
    return !(await this.#isTooOld("kv/compaction", { revision: `${revision}`, physical: false }));
  }

  /** Whether the store has lost what was at `revision`. */
  isCompacted(revision: number): Promise<boolean> {
    return this.#isTooOld("kv/range", { key: base64(namespace), revision: `${revision}` });
  }

  /** Whether a call is refused for its revision, by whichever member answers. */
  #isTooOld(path: string, body: unknown): Promise<boolean> {
    return insist(this.#gateways, (gateway) => isRefused(gateway.call(path, body), "has been compacted"));
  }

  /** The sum of a gauge over all members. */
  async metric(name: string): Promise<number> {
    const values = await Promise.all(this.members.map(({ gateway }) => gateway.metric(name)));
    return values.reduce((sum, value) => sum + value, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.writers.pause();
    await this.oracle.stop();
    for (const { server, gateway, clients } of this.members) {
      gateway[Symbol.dispose]();
      for (const proxy of clients) await proxy[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    }
  }
}
