/**
 * Elections in a cluster whose members fail, by candidates that are killed, stopped and cut off. What they did is held
 * against the whole history of the store, which is read past the library.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, expect, test, vi } from "vitest";
import * as core from "../../src/index.ts";
import * as etcd from "../../src/etcd/index.ts";
import * as timers from "node:timers/promises";
import { eventually } from "../faults/fault.ts";
import { Gateway, insist, type StatusAnswer, unbase64 } from "../proof/gateway.ts";
import { prefixRange } from "../proof/oracle.ts";
import { startCluster } from "../support/cluster.ts";
import { type EtcdServer, etcdAvailable } from "../support/etcd.ts";
import type { Link } from "../support/link.ts";
import { isStopped } from "../support/process-state.ts";
import { loseAnswer, startMiddleman, swallow } from "../support/middleman.ts";
import { codeOf, observe, rejection } from "../support/promises.ts";
import { type Proxy, startProxy } from "../support/proxy.ts";
import { compiled, type Tools } from "./child.ts";
import { freshPrefix, useEtcd } from "./store.ts";

/** What a candidate is given. */
interface Given {
  readonly id: string;
  readonly endpoints: readonly string[];
  readonly namespace: string;
  readonly ttlMs: number;
}

/** What a candidate tells. `term` is the revision of the leadership, `at` the time in ms, the same in all processes. */
type Told = { readonly at: number; readonly term: number } & (
  | { readonly type: "leads" | "lost" | "resigned" }
  | { readonly type: "wrote"; readonly revision: number }
  | { readonly type: "refused"; readonly code: string; readonly maybe: boolean }
);

/** What a candidate is told, where it is in this process. */
interface Orders {
  readonly stop: AbortSignal;
  resign: boolean;
}

/**
 * Stands for election again and again. While it leads, and until it is refused where it has lost, it writes to one key
 * with its fence. It is taken as text, and sees nothing but what it is given.
 */
async function stand(
  tools: Pick<Tools, "core" | "etcd" | "timers">,
  given: Given,
  tell: (told: Told) => void,
  orders: Orders,
): Promise<void> {
  const { endpoints, namespace, id, ttlMs } = given;
  const keyspace = new tools.etcd.EtcdKeyspace({ endpoints, namespace, requestTimeoutMs: 1000 });
  const log = keyspace.value("log", tools.core.text);
  const at = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;
  const { stop } = orders;
  try {
    while (!stop.aborted) {
      const leadership = await keyspace
        .election("leader")
        .campaign(id, { ttlMs, signal: stop })
        .catch((error: unknown) => {
          // A cluster without a leader for as long as a lease lives may cost the lease: it stands again.
          if (tools.core.isEventValueError(error, "EV_LEASE_NOT_FOUND")) return undefined;
          throw error;
        });
      if (leadership === undefined) continue;
      const { fence, lost, revision: term } = leadership;
      tell({ type: "leads", at: at(), term });
      lost.addEventListener("abort", () => tell({ type: "lost", at: at(), term }));
      const write = async (): Promise<string> => {
        try {
          const { revision } = await keyspace.transaction([fence, tools.core.put(log, `${term}`)]);
          tell({ type: "wrote", at: at(), term, revision });
          return "";
        } catch (error) {
          if (!tools.core.isEventValueError(error)) throw error;
          const { code } = error;
          const maybe = tools.core.isEventValueError(error, "EV_UNAVAILABLE") && error.maybeApplied;
          tell({ type: "refused", at: at(), term, code, maybe });
          return code;
        }
      };
      while (!lost.aborted && !orders.resign && !stop.aborted) {
        await write();
        await tools.timers.setTimeout(10);
      }
      if (!lost.aborted) {
        orders.resign = false;
        tell({ type: "resigned", at: at(), term });
        await leadership.resign();
      }
      // As one that has not noticed would.
      while (!stop.aborted && (await write()) !== "EV_CONFLICT") await tools.timers.setTimeout(10);
    }
  } catch (error) {
    if (!stop.aborted) throw error;
  } finally {
    await keyspace.close();
  }
}

/** A candidate, wherever it is. */
class Candidate {
  readonly told: Told[] = [];
  readonly id: string;
  constructor(id: string) {
    this.id = id;
  }
  count(type: Told["type"]): number {
    return this.told.filter((told) => told.type === type).length;
  }
  /** Whether it thinks that it leads, and has written. */
  get isLeading(): boolean {
    const last = this.told.filter(({ type }) => type === "leads" || type === "lost" || type === "resigned").at(-1);
    return last?.type === "leads" && this.told.some(({ type, term }) => type === "wrote" && term === last.term);
  }
}

class LocalCandidate extends Candidate {
  readonly orders: Orders;
  readonly done: Promise<void>;
  constructor(given: Given, stop: AbortSignal) {
    super(given.id);
    this.orders = { stop, resign: false };
    this.done = stand({ core, etcd, timers }, given, (told) => this.told.push(told), this.orders);
    this.done.catch(() => {});
  }
}

class RemoteCandidate extends Candidate implements Disposable {
  readonly process: ChildProcess;
  stderr = "";
  private constructor(given: Given, program: string) {
    super(given.id);
    this.process = spawn(process.execPath, ["-"], { stdio: "pipe" });
    this.process.stderr!.setEncoding("utf8").on("data", (part: string) => (this.stderr += part));
    createInterface({ input: this.process.stdout! }).on("line", (line) => this.told.push(JSON.parse(line) as Told));
    this.process.stdin!.on("error", () => {}).end(program);
  }
  static async start(given: Given): Promise<RemoteCandidate> {
    // With nobody to tell it ends, by an error.
    const program = `${await compiled()}
      const tell = (told) => process.stdout.write(JSON.stringify(told) + "\\n");
      const orders = { stop: new AbortController().signal, resign: false };
      (${stand.toString()})(library, ${JSON.stringify(given)}, tell, orders);`;
    return new RemoteCandidate(given, program);
  }
  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await exited;
  }
  [Symbol.dispose](): void {
    this.process.kill("SIGKILL");
  }
}

/** A change of the store, as it tells it itself. */
interface StoreEvent {
  readonly revision: number;
  readonly key: string;
  readonly value: string | undefined;
  readonly created: number;
}

/** All that ever happened under `prefix`, by a watch from the first revision on, up to the write of `last`. */
async function historyOf(gateways: readonly Gateway[], prefix: string, last: string): Promise<StoreEvent[]> {
  interface Answer {
    readonly events?: readonly {
      readonly type?: "DELETE";
      readonly kv: { key: string; value?: string; mod_revision: string; create_revision: string };
    }[];
  }
  return insist(gateways, async (gateway) => {
    const history: StoreEvent[] = [];
    const stop = new AbortController();
    const body = { create_request: { ...prefixRange(prefix), start_revision: "1" } };
    try {
      for await (const { events = [] } of gateway.stream<Answer>("watch", body, stop.signal)) {
        for (const { type, kv } of events) {
          const key = unbase64(kv.key).slice(prefix.length);
          const value = type === "DELETE" ? undefined : unbase64(kv.value);
          history.push({ revision: Number(kv.mod_revision), key, value, created: Number(kv.create_revision) });
          if (key === last) stop.abort();
        }
      }
      throw new Error("the watch has ended");
    } catch (error) {
      if (!stop.signal.aborted) throw error;
      return history;
    }
  });
}

/** Who led when, by the history: at each revision, the oldest candidate that is there. */
function judge(history: readonly StoreEvent[]): { leaders: number[]; writes: number[]; problems: string[] } {
  const candidates = new Map<string, number>();
  const leaders: number[] = [];
  const writes: number[] = [];
  const problems: string[] = [];
  for (const { revision, key, value, created } of history) {
    // As it was before: a transaction is compared with what was there.
    const leader = Math.min(...candidates.values());
    if (key === "log") {
      if (Number(value) !== leader) problems.push(`at ${revision} ${value} wrote, and ${leader} led`);
      if (Number(value) < (writes.at(-1) ?? 0)) problems.push(`at ${revision} ${value} wrote after ${writes.at(-1)}`);
      writes.push(Number(value));
    } else if (key.startsWith("leader/")) {
      if (value === undefined) candidates.delete(key);
      else candidates.set(key, created);
      const next = Math.min(...candidates.values());
      if (next !== Infinity && next !== leaders.at(-1)) leaders.push(next);
    }
  }
  return { leaders, writes, problems };
}

/** Periods in which two thought that they led, but for those of who could not know better. */
function overlaps(candidates: readonly Candidate[], excepted: ReadonlySet<number>): string[] {
  const periods = candidates.flatMap(({ id, told }) =>
    told
      .filter(({ type, term }) => type === "leads" && !excepted.has(term))
      .map(({ at, term }) => ({
        name: `${id} (${term})`,
        from: at,
        to: told.find((end) => end.term === term && (end.type === "lost" || end.type === "resigned"))?.at ?? Infinity,
      })),
  );
  periods.sort((a, b) => a.from - b.from);
  return periods.flatMap(({ name, from }, i) => {
    const before = periods[i - 1];
    return before !== undefined && before.to > from ? [`${before.name} and ${name}`] : [];
  });
}

describe.skipIf(!etcdAvailable)("an election in a cluster of three members", () => {
  test("has one leader at a time, whatever fails, and none writes after the next", { timeout: 90_000 }, async () => {
    await using cluster = await startCluster(3, { partitionable: true });
    const { members, endpoints } = cluster;
    const gateways = members.map(({ endpoint }) => new Gateway(endpoint));
    const namespace = "election/";
    const given = (id: string, by: readonly string[] = endpoints): Given => ({
      id,
      endpoints: by,
      namespace,
      ttlMs: 2000,
    });
    const stop = new AbortController();
    const proxies = await Promise.all(members.map(({ port }) => startProxy(port)));
    const remotes: RemoteCandidate[] = [];
    const locals: LocalCandidate[] = [];
    const candidates: Candidate[] = [];
    const observed: number[] = [];
    await using observer = new etcd.EtcdKeyspace({ endpoints, namespace, requestTimeoutMs: 1000 });
    const observing = (async () => {
      for await (const leader of observer.election("leader").leader.watch({ signal: stop.signal })) {
        if (leader !== undefined) observed.push(leader.revision);
      }
    })().catch(() => {});

    const standing = async (count: number): Promise<void> => {
      const entries = observer.range("leader/", core.text);
      await vi.waitFor(async () => expect((await entries.read()).changes).toHaveLength(count), 10_000);
    };
    const leads = async (candidate: Candidate): Promise<void> => {
      await vi.waitFor(() => expect(candidate.isLeading, `${candidate.id} leads`).toBe(true), 20_000);
    };
    const writesOn = async (): Promise<void> => {
      const written = (): number => candidates.reduce((sum, candidate) => sum + candidate.count("wrote"), 0);
      const before = written();
      await vi.waitFor(() => expect(written()).toBeGreaterThan(before + 5), 20_000);
    };
    const enter = async <C extends Candidate>(candidate: C): Promise<C> => {
      candidates.push(candidate);
      await standing(candidates.length);
      return candidate;
    };
    const remote = async (id: string): Promise<RemoteCandidate> => {
      const started = await RemoteCandidate.start(given(id));
      remotes.push(started);
      return enter(started);
    };
    const local = (id: string, by?: readonly string[]): Promise<LocalCandidate> => {
      const started = new LocalCandidate(given(id, by), stop.signal);
      locals.push(started);
      return enter(started);
    };
    try {
      const killed = await remote("killed");
      const stopped = await remote("stopped");
      const cutOff = await local(
        "cut off",
        proxies.map(({ endpoint }) => endpoint),
      );
      const removed = await local("removed");
      await leads(killed);
      expect(candidates.filter(({ isLeading }) => isLeading)).toEqual([killed]);

      // A candidate that is cut off for less than its lease lives is there afterwards.
      await blink(proxies);

      await writesOn();
      await killed.kill();
      // By a clock that all processes share; it can have told no more than it had time for.
      killed.told.push({
        type: "lost",
        at: Number(process.hrtime.bigint() / 1000n) / 1000,
        term: killed.told[0]!.term,
      });
      await leads(stopped);
      await writesOn();

      const { pid } = stopped.process;
      stopped.process.kill("SIGSTOP");
      await eventually("the process stands still", () => isStopped(pid!));
      const stoppedIn = stopped.told.at(-1)!.term;
      const unaware = new Set([stoppedIn]);
      const before = stopped.told.length;
      await leads(cutOff);
      expect(stopped.told).toHaveLength(before);
      stopped.process.kill("SIGCONT");
      await vi.waitFor(() => {
        const since = stopped.told.slice(before).filter(({ term }) => term === stoppedIn);
        expect(since.map(({ type }) => type)).toContain("lost");
        expect(since).toContainEqual(expect.objectContaining({ type: "refused", code: "EV_CONFLICT" }));
        // The answer to a write that was made before may come now.
        const next = cutOff.told.find((told) => told.type === "wrote")!.revision;
        const after = since.filter((told) => told.type === "wrote" && told.revision > next);
        expect(after).toEqual([]);
      }, 10_000);

      for (const proxy of proxies) proxy.blackhole();
      await leads(removed);
      expect(cutOff.count("lost")).toBe(1);
      expect(proxies.reduce((sum, proxy) => sum + proxy.swallowed, 0)).toBeGreaterThan(0);
      for (const proxy of proxies) await proxy.heal();
      await vi.waitFor(
        () => expect(cutOff.told).toContainEqual(expect.objectContaining({ type: "refused", code: "EV_CONFLICT" })),
        20_000,
      );

      // Members that fail, of which leaders hardly notice.
      await withoutLeader(members, gateways, writesOn);
      const first = members[0]!;
      const before0 = first.pid;
      await first.kill();
      await writesOn();
      await first.start();
      expect(first.pid).not.toBe(before0);
      await writesOn();

      // Whoever leads now: it is deleted by somebody, and then it resigns.
      for (const how of ["deleted", "resigned"] as const) {
        await vi.waitFor(() => expect(candidates.filter(({ isLeading }) => isLeading)).toHaveLength(1), 20_000);
        const leading = candidates.find(({ isLeading }) => isLeading)!;
        await vi.waitFor(
          async () => expect((await observer.range("leader/", core.text).read()).changes).toHaveLength(3),
          10_000,
        );
        const { changes } = await observer.range("leader/", core.text).read();
        const [oldest] = [...changes].sort((a, b) => createdAt(a) - createdAt(b));
        if (how === "resigned" && leading instanceof LocalCandidate) leading.orders.resign = true;
        else {
          // It learns of that no sooner than the next.
          unaware.add(leading.told.at(-1)!.term);
          await observer.value(oldest!.key, core.text).delete();
        }
        await vi.waitFor(() => expect(leading.isLeading).toBe(false), 10_000);
        await vi.waitFor(() => expect(candidates.filter(({ isLeading }) => isLeading)).toHaveLength(1), 20_000);
      }
      await writesOn();

      stop.abort("enough");
      for (const candidate of locals) await candidate.done;
      for (const candidate of remotes) await candidate.kill();
      await observer.value("end", core.text).set("1");
      const { leaders, writes, problems } = judge(await historyOf(gateways, namespace, "end"));
      expect(problems).toEqual([]);
      expect(overlaps(candidates, unaware)).toEqual([]);
      expect(leaders).toEqual([...leaders].sort((a, b) => a - b));
      expect(observed).toEqual([...new Set(observed)].sort((a, b) => a - b));
      // It bit: the leadership went from one to another.
      expect(new Set(writes).size).toBeGreaterThanOrEqual(6);
      expect(leaders.length).toBeGreaterThanOrEqual(6);
      expect(observed.length).toBeGreaterThanOrEqual(6);
      // What was told to be written is, once, and no more than that and what was unclear.
      const told = candidates.flatMap((candidate) => candidate.told);
      const wrote = told.filter(({ type }) => type === "wrote").length;
      const maybe = told.filter((one) => one.type === "refused" && one.maybe).length;
      expect(writes.length).toBeGreaterThanOrEqual(wrote);
      // Of one that was killed, or stopped, an answer may be missing.
      expect(writes.length).toBeLessThanOrEqual(wrote + maybe + 4);
      for (const { stderr } of remotes) expect(stderr).toBe("");
    } finally {
      stop.abort("enough");
      for (const candidate of remotes) candidate[Symbol.dispose]();
      await Promise.allSettled(locals.map(({ done }) => done));
      for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
      for (const gateway of gateways) gateway[Symbol.dispose]();
      await observing;
    }
  });
});

function createdAt(change: object): number {
  return (change as { readonly createRevision: number }).createRevision;
}

/** Cuts connections and lets them come back. */
async function blink(proxies: readonly Proxy[]): Promise<void> {
  expect(proxies.reduce((sum, { connections }) => sum + connections, 0)).toBeGreaterThan(0);
  const accepted = (): number => proxies.reduce((sum, proxy) => sum + proxy.accepted, 0);
  const before = accepted();
  for (const proxy of proxies) await proxy.cut();
  for (const proxy of proxies) await proxy.heal();
  await vi.waitFor(() => expect(accepted()).toBeGreaterThan(before), 10_000);
}

/** Cuts the member that leads the cluster off from the others while `meanwhile` runs. */
async function withoutLeader(
  members: readonly EtcdServer[],
  gateways: readonly Gateway[],
  meanwhile: () => Promise<void>,
): Promise<void> {
  const { members: listed } = await gateways[0]!.call<{ members: { ID: string; name: string }[] }>(
    "cluster/member/list",
  );
  const idOf = ({ name }: EtcdServer): string => BigInt(listed.find((one) => one.name === name)!.ID).toString(16);
  const leads = async (gateway: Gateway): Promise<boolean> => {
    const { header, leader } = await gateway.call<StatusAnswer>("maintenance/status");
    return leader === header.member_id;
  };
  let at = 0;
  while (!(await leads(gateways[at]!))) at = (at + 1) % members.length;
  const leader = members[at]!;
  const links: Link[] = members
    .filter((member) => member !== leader)
    .flatMap((member) => [leader.inbound!.from(idOf(member)), member.inbound!.from(idOf(leader))]);
  for (const link of links) link.cut();
  await eventually("it knows no leader", async () => !(await leader.isHealthy(AbortSignal.timeout(1000))));
  expect(links.every(({ refused }) => refused > 0)).toBe(true);
  await meanwhile();
  for (const link of links) link.heal();
  await eventually("it is back", () => leader.isHealthy(AbortSignal.timeout(1000)));
}

describe.skipIf(!etcdAvailable)("an election in etcd", () => {
  const server = useEtcd();
  const ttlMs = 60_000;

  function setUp(): { keyspace: etcd.EtcdKeyspace; namespace: string } {
    const namespace = freshPrefix();
    return { keyspace: new etcd.EtcdKeyspace({ endpoints: server.etcd.endpoint, namespace }), namespace };
  }

  test("is won by the oldest candidate only, whoever goes", async () => {
    const { keyspace } = setUp();
    await using _ = keyspace;
    const election = keyspace.election("e");
    const candidates = keyspace.range("e/", core.text);
    const first = await election.campaign("1", { ttlMs });
    const abort = new AbortController();
    const second = rejection(election.campaign("2", { ttlMs, signal: abort.signal }));
    await vi.waitFor(async () => expect((await candidates.read()).changes).toHaveLength(2));
    const third = election.campaign("3", { ttlMs });
    const outcome = observe(third);
    await vi.waitFor(async () => expect((await candidates.read()).changes).toHaveLength(3));
    abort.abort("enough");
    expect(await second).toBe("enough");
    // Told of that, the third has every reason to look.
    using leaders = election.leader.watch();
    expect(await leaders.get()).toEqual({ value: "1", revision: first.revision });
    await vi.waitFor(async () => expect((await candidates.read()).changes).toHaveLength(2));
    await keyspace.value("other", core.text).set("1");
    expect(outcome()).toEqual({ state: "pending" });
    await first.resign();
    expect((await third).revision).toBeGreaterThan(first.revision);
    expect(first.lost.aborted).toBe(false);
  });

  test("is won with one key where the answer to a candidate is lost, or its request", async () => {
    for (const [method, treatment] of [
      ["KV/Txn", loseAnswer],
      ["KV/Txn", swallow],
      ["Lease/LeaseGrant", loseAnswer],
      ["Lease/LeaseGrant", swallow],
    ] as const) {
      await using middleman = await startMiddleman(server.etcd.port);
      const namespace = freshPrefix();
      await using keyspace = new etcd.EtcdKeyspace({ endpoints: middleman.endpoint, namespace });
      middleman.next(method, treatment);
      const leader = await keyspace.election("e").campaign("1", { ttlMs });
      expect(middleman.lost + middleman.swallowed, method).toBe(1);
      const [held, ...others] = (await server.store.all(`${namespace}e/`)).values();
      expect(held).toEqual({ value: "1", revision: leader.revision, createRevision: leader.revision });
      expect(others).toEqual([]);
      await keyspace.transaction([leader.fence, core.put(keyspace.value("k", core.text), "1")]);
    }
  });

  test("is lost by a leader whose key is deleted, or lease revoked, and its fence tells", async () => {
    for (const how of ["deleted", "revoked"]) {
      const { keyspace, namespace } = setUp();
      await using _ = keyspace;
      const leader = await keyspace.election("e").campaign("1", { ttlMs: how === "revoked" ? 2000 : ttlMs });
      const [key] = [...(await server.store.all(`${namespace}e/`)).keys()];
      if (how === "deleted") await server.store.delete(key!);
      else await server.store.revoke(String(BigInt(`0x${key!.slice(`${namespace}e/`.length)}`)));
      await vi.waitFor(() => expect(leader.lost.aborted, how).toBe(true), 3000);
      expect(leader.lost.reason).toMatchObject({ code: "EV_LEASE_NOT_FOUND" });
      const fenced = [leader.fence, core.put(keyspace.value("k", core.text), "1")];
      expect(await codeOf(keyspace.transaction(fenced))).toBe("EV_CONFLICT");
      await leader.resign();
    }
  });
});
