/**
 * What a user of the published package writes. It is compiled by the oldest and by the current supported compiler, with
 * the library's own declarations checked too, so it keeps to what both know.
 */
import {
  type Codec,
  combine,
  EventValueError,
  isEventValueError,
  json,
  type Keyspace,
  type LiveMap,
  LockstepValue,
  map,
  MemoryKeyspace,
  MemoryValue,
  put,
  type Value,
  type Watchable,
  type Watcher,
} from "event-value";

export const counter: number = new MemoryValue({ initial: 0 }).update((n) => n + 1);
export const unset: number | undefined = new MemoryValue<number>().current;
export const value: Value<string> = new LockstepValue<string>();

export async function newest<T>(source: Watchable<T>): Promise<T> {
  const watcher: Watcher<T> = source.watch();
  try {
    return await watcher.get();
  } finally {
    watcher.close();
  }
}

export async function newestText(source: Watchable<string | number>): Promise<string> {
  return source.watch().get({ filter: (v): v is string => typeof v === "string" });
}

export const both: Watchable<{ length: number; text: string }> = combine({
  length: map(value, (text) => text.length),
  text: value,
});

export const point: Codec<{ x: number }> = json<{ x: number }>();

export function explain(error: unknown): string {
  if (isEventValueError(error, "EV_DECODE")) return `${error.key} at ${error.revision}: ${error.bytes.length} bytes`;
  if (isEventValueError(error, "EV_CONFLICT")) return `${error.key} is at ${error.currentRevision}`;
  return error instanceof EventValueError ? error.code : "unknown";
}

export async function services(keyspace: Keyspace = new MemoryKeyspace()): Promise<LiveMap<{ port: number }>> {
  const service = keyspace.value("services/db", json<{ port: number }>());
  const lease = await keyspace.lease({ ttlMs: 5000 });
  const { revision } = await keyspace.transaction([put(service, { port: 5432 }, { lease })]);
  const live = await keyspace.range("services/", json<{ port: number }>()).live();
  return live.atLeast(revision);
}
