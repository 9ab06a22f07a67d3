/** How the types of values flow from a codec to where they are used; checked by tsc, never run. */
import { z } from "zod";
import {
  announce,
  type Batch,
  combine,
  distinctUntilChanged,
  type Election,
  filter,
  ifRevision,
  json,
  type Keyspace,
  type KeyRange,
  type KeyUpdate,
  type KeyValue,
  lead,
  type Leadership,
  type LiveMap,
  map,
  MemoryKeyspace,
  MemoryValue,
  pipeTo,
  put,
  type ReadableKeyRange,
  type ReadableKeyValue,
  remove,
  runLatest,
  skipInvalid,
  type Status,
  text,
  type TransactionOperation,
  type Versioned,
  waitFor,
  type Watchable,
} from "../../src/index.ts";
import { EtcdKeyspace } from "../../src/etcd/index.ts";
import { openKeyspace } from "../../src/open/index.ts";
import { collect, collectBatches, TestKeyspace } from "../../src/testing/index.ts";
import { type Equal, expectType } from "./expect.ts";

const serviceSchema = z.object({ host: z.string(), port: z.number().default(80) });
interface Service {
  host: string;
  port: number;
}
declare const keyspace: Keyspace;
declare const signal: AbortSignal;

async function valueTypes(): Promise<void> {
  const plain = keyspace.value("a", json(serviceSchema));
  expectType<Equal<typeof plain, KeyValue<Service>>>();
  expectType<Equal<Awaited<ReturnType<ReturnType<typeof plain.watch>["get"]>>, Service | undefined>>();
  expectType<Equal<Awaited<ReturnType<typeof plain.read>>, Versioned<Service> | undefined>>();
  await plain.update((current) => {
    expectType<Equal<typeof current, Service | undefined>>();
    return { host: "db", port: (current?.port ?? 0) + 1 };
  });

  const withDefault = keyspace.value("a", json<number>(), { default: 0 });
  expectType<Equal<typeof withDefault, KeyValue<number, never>>>();
  await withDefault.update((n) => n + 1);
  // @ts-expect-error -- the default is a value of the key
  keyspace.value("a", json<number>(), { default: "0" });
  // @ts-expect-error -- a number is wanted
  await withDefault.set("1");

  const readOnly = keyspace.value("a", (bytes) => bytes.length);
  expectType<Equal<typeof readOnly, ReadableKeyValue<number>>>();
  // @ts-expect-error -- it cannot be written
  await readOnly.set(1);
  // @ts-expect-error -- so no transaction writes it
  put(readOnly, 1);
}

async function rangeTypes(): Promise<void> {
  const services = keyspace.range("services/", json(serviceSchema));
  expectType<Equal<typeof services, KeyRange<Service>>>();
  await services.update("services/db", (current) => ({ host: current?.host ?? "db", port: 1 }));
  const readOnly: ReadableKeyRange<Service> = services;
  expectType<Equal<Awaited<ReturnType<typeof readOnly.live>>, LiveMap<Service>>>();

  using live = await services.live({ signal });
  expectType<Equal<ReturnType<typeof live.get>, Service | undefined>>();
  for (const [key, service] of live) {
    expectType<Equal<typeof key, string>>();
    expectType<Equal<typeof service, Service>>();
  }
  const asMap: ReadonlyMap<string, Service> = live;
  void asMap;
  expectType<Equal<Awaited<ReturnType<typeof live.atLeast>>, typeof live>>();
  // @ts-expect-error -- it follows the store, and is not written by hand
  live.set("services/db", { host: "db", port: 1 });
}

async function operatorTypes(): Promise<void> {
  const service = keyspace.value("a", json(serviceSchema));
  const limit = keyspace.value("b", json<number>(), { default: 1 });
  const services = keyspace.range("services/", json(serviceSchema));
  using live = await services.live();

  const both = combine({ service, limit, status: keyspace.status, updates: services, batches: live });
  expectType<
    Equal<
      typeof both,
      Watchable<{
        service: Service | undefined;
        limit: number;
        status: Status;
        updates: KeyUpdate<Service>;
        batches: Batch<Service>;
      }>
    >
  >();
  const ports = distinctUntilChanged(map(service, (found) => found?.port));
  expectType<Equal<typeof ports, Watchable<number | undefined>>>();
  const found = filter(service, (value): value is Service => value !== undefined);
  expectType<Equal<typeof found, Watchable<Service>>>();
  expectType<Equal<Awaited<ReturnType<typeof waitFor<Status>>>, Status>>();
  await pipeTo(limit, keyspace.value("c", json<number>()), { signal });
  await runLatest(live, (batch) => expectType<Equal<typeof batch, Batch<Service>>>());
}

async function transactionTypes(): Promise<void> {
  const count = keyspace.value("a", json<number>(), { default: 0 });
  const name = keyspace.value("b", text);
  const lease = await keyspace.lease({ ttlMs: 1000 });
  const operations = [ifRevision(count, 3), put(count, 1), put(name, "x", { lease }), remove(name)];
  expectType<Equal<typeof operations, TransactionOperation[]>>();
  expectType<Equal<Awaited<ReturnType<typeof keyspace.transaction>>, { revision: number }>>();
  // @ts-expect-error -- a number is wanted
  put(count, "1");
  // @ts-expect-error -- operations are made by functions, not by hand
  await keyspace.transaction([{ put: count }]);
  // @ts-expect-error -- a range is not a key
  remove(keyspace.range("a", text));
}

async function electionTypes(): Promise<void> {
  const election: Election = keyspace.election("leader");
  const leadership: Leadership = await election.campaign("me", { signal, ttlMs: 5000 });
  const count = keyspace.value("a", json<number>());
  await keyspace.transaction([leadership.fence, put(count, leadership.revision)]);
  const leader = await election.leader.watch().get();
  expectType<Equal<typeof leader, { readonly value: string; readonly revision: number } | undefined>>();
}

async function longRunningTypes(): Promise<void> {
  const limit = keyspace.value("a", json<number>(), { default: 1 });
  const valid = skipInvalid(limit, ({ key, bytes, revision }) => [key.length, bytes.length, revision]);
  expectType<Equal<typeof valid, Watchable<number>>>();

  const announcing = announce(keyspace, limit, new MemoryValue({ initial: 1 }), { signal, ttlMs: 5000 });
  expectType<Equal<typeof announcing, Promise<void>>>();
  const services = keyspace.range("services/", json(serviceSchema));
  const entry = { set: services.set.bind(services, "services/db") };
  await announce(keyspace, entry, new MemoryValue<Service>());
  // @ts-expect-error -- a number is wanted
  await announce(keyspace, limit, new MemoryValue({ initial: "1" }));
  // @ts-expect-error -- a constant is a value that does not change
  await announce(keyspace, limit, 1);
  const readOnly = keyspace.value("a", (bytes) => bytes.length);
  // @ts-expect-error -- it cannot be written
  await announce(keyspace, readOnly, new MemoryValue({ initial: 1 }));

  const made = await lead(keyspace.election("leader"), "me", async ({ revision }, { signal: over }) => {
    expectType<Equal<typeof over, AbortSignal>>();
    return revision;
  });
  expectType<Equal<typeof made, number>>();
}

/** An application begins with one and moves to another. */
async function keyspaces(): Promise<readonly Keyspace[]> {
  const memory = new MemoryKeyspace({ namespace: "app/" });
  const forTests = new TestKeyspace();
  using told = collect(forTests.value("a", json<number>(), { default: 0 }));
  expectType<Equal<typeof told.values, readonly number[]>>();
  using batches = collectBatches(forTests.range("a", text));
  expectType<Equal<typeof batches.values, readonly Batch<string>[]>>();
  return [
    memory,
    forTests,
    new MemoryKeyspace({ sharing: memory }),
    new EtcdKeyspace({ endpoints: "http://127.0.0.1:2379" }),
    await openKeyspace("etcd://me@db1,db2/app/", { password: "secret", staleAfterMs: 5000 }),
  ];
}

void [valueTypes, rangeTypes, operatorTypes, transactionTypes, electionTypes, longRunningTypes, keyspaces];
