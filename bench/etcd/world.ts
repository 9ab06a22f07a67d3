/** The server that a question is asked on, and what is in it. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import * as support from "../../test/support/etcd.ts";
import { BareClient } from "./peers.ts";

export type { EtcdServer } from "../../test/support/etcd.ts";

/** Starts a server, which is its own leader after 0.1 s: by default it would wait for others for a second. */
export function startEtcd(): Promise<support.EtcdServer> {
  return support.startEtcd({ args: ["--heartbeat-interval=10", "--election-timeout=100"] });
}

/** The most operations that a transaction may have. */
const most = 128;

/** The key with this number: 16 bytes and the prefix. */
export function keyOf(prefix: string, number: number): string {
  return `${prefix}instance-${String(number).padStart(7, "0")}`;
}

/** A value of so many bytes, another one for each number: text, as a codec or a peer decodes it. */
export function valueOf(number: number, bytes: number): string {
  return `${number} `.padEnd(bytes, "abcdefghij");
}

/**
 * Writes the values of `keys` keys, `times` times each, in transactions of `each`; resolves with the revision of the
 * last write. Every key is one writer's, so that its last value is there in the end.
 */
export async function fill(
  endpoint: string,
  prefix: string,
  { keys, bytes, times = 1, each = most }: { keys: number; bytes: number; times?: number; each?: number },
): Promise<number> {
  const client = new BareClient(endpoint);
  const writers = 8;
  let revision = 0;
  const write = async (writer: number): Promise<void> => {
    const mine = Array.from({ length: Math.ceil((keys - writer) / writers) }, (_, i) => writer + i * writers);
    for (let time = 0; time < times; time++) {
      for (let from = 0; from < mine.length; from += each) {
        const entries = mine
          .slice(from, from + each)
          .map((number): [string, Buffer] => [
            keyOf(prefix, number),
            Buffer.from(valueOf(keys * time + number, bytes)),
          ]);
        const { header } = await client.putAll(entries);
        revision = Math.max(revision, header!.revision);
      }
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  client.close();
  return revision;
}

/** What a state comes to: the number of its keys, and a digest of them and their values. */
export function digest(state: ReadonlyMap<string, string>): { keys: number; digest: string } {
  const hash = createHash("sha256");
  for (const [key, value] of [...state].sort(([a], [b]) => (a < b ? -1 : 1))) hash.update(`${key}=${value}\n`);
  return { keys: state.size, digest: hash.digest("hex") };
}

/** The state that {@link fill} leaves. */
export function filled(
  prefix: string,
  { keys, bytes, times = 1 }: { keys: number; bytes: number; times?: number },
): Map<string, string> {
  return new Map(Array.from({ length: keys }, (_, i) => [keyOf(prefix, i), valueOf(keys * (times - 1) + i, bytes)]));
}

/** CPU time that a process has taken, in ms, in steps of 10. Linux. */
export function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
