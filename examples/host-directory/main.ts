/**
 * A directory of hosts: each machine publishes its state as an Event Value, and everybody watches all of them.
 *
 * The start to read: it makes the producer, the directory and the consumers, and ends them. See --help for what it does.
 */
import { once } from "node:events";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { stdout } from "node:process";
import { parseArgs } from "node:util";
import { combine, filter, map, MemoryValue } from "event-value";
import { openKeyspace } from "event-value/open";
import { Consumer } from "./consumers.ts";
import { type Hosts, isHostName, takePart } from "./directory.ts";
import { HostsFile } from "./hosts-file.ts";
import { sampleMachine } from "./machine.ts";
import { describe, drawTable, printLines, table } from "./table.ts";

const help = `Usage: npm start -- [options]

Publishes the state of this machine (addresses, load, free memory, uptime) ten times a second as an Event Value, and
shows consumers of different speed that watch it. One of them keeps a hosts file up to date. Ctrl-C ends it.

  --hosts FILE  the hosts file; "hosts" in the working directory unless given. A file that this program did not write
                is never overwritten
  --store URL   find other machines through etcd, such as http://127.0.0.1:2379; several members: http://HOST,HOST. Each
                machine writes there ten times a second: take an etcd to play with, or one that compacts automatically.
                Unless given, everything is in this process and this machine is the only one
  --name NAME   this machine's name in the directory; its host name unless given
  --ttl TIME    how long its entry in etcd stays when it is gone without a word; 5s unless given
  --for TIME    end by itself after this time, such as 10s or 5m
  --help        show this

Two machines on one machine: start an etcd ("node scripts/etcd.mjs" prints the path of one) and, in a terminal each,

  npm start -- --store http://127.0.0.1:2379 --name alpha --hosts hosts-alpha
  npm start -- --store http://127.0.0.1:2379 --name beta --hosts hosts-beta`;

type Options = Exclude<Awaited<ReturnType<typeof readOptions>>, undefined>;

/** Throws what is wrong with the command line. */
async function readOptions() {
  const { values } = parseArgs({
    options: {
      hosts: { type: "string", default: "hosts" },
      store: { type: "string" },
      name: { type: "string", default: hostname() },
      ttl: { type: "string", default: "5s" },
      for: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help) return undefined;
  if (!isHostName(values.name)) throw new RangeError(`--name must be a host name, not "${values.name}"`);
  const ttlMs = milliseconds("--ttl", values.ttl);
  const forMs = values.for === undefined ? undefined : milliseconds("--for", values.for);
  const keyspace = await openKeyspace(values.store ?? "memory:", { staleAfterMs: 3000 });
  return {
    keyspace,
    member: { name: values.name, ttlMs },
    where: values.store === undefined ? "in this process" : `in etcd at ${values.store}`,
    state: map(keyspace.status, (status) => (values.store === undefined ? alone : describe(status))),
    file: new HostsFile(resolve(values.hosts)),
    forMs,
  };
}

/** What is said of the directory where there is no other. */
const alone = "npm start -- --store URL finds other machines, npm start -- --help tells more";

function milliseconds(option: string, text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? [];
  const size = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit ?? ""];
  const ms = Number(number) * (size ?? NaN);
  if (ms > 0 && ms < 2 ** 31) return ms;
  throw new RangeError(`${option} must be a time such as 500ms, 10s or 5m, not "${text}"`);
}

/** Runs until `stop` is aborted, and aborts it when something fails. Resolves with the last picture. */
async function run({ keyspace, member, where, state, file, forMs }: Options, stop: AbortController): Promise<string[]> {
  await file.read(); // a file that is not ours is refused before anything begins

  const failures: unknown[] = [];
  const start = async (task: Promise<void>): Promise<void> => {
    try {
      await task;
    } catch (error) {
      if (!stop.signal.aborted) failures.push(error);
      stop.abort();
    }
  };

  // The producer.
  const machine = sampleMachine(100, stop.signal);
  // All hosts that there are, and those that consumers are given: none, as long as they are not known.
  const newest = new MemoryValue<Hosts | undefined>({ initial: undefined });
  const hosts = filter(newest, (known) => known !== undefined);
  void start(takePart(keyspace, member, machine, newest, stop.signal));

  // The consumers. What they report are Event Values again, of which the table is the consumer.
  const consumers = [
    new Consumer("fast", "at once", 0),
    new Consumer("slow", "every second", 1000),
    new Consumer("slower", "every 5 seconds", 5000),
  ];
  const changes = combine({
    hosts: newest,
    state,
    writes: file.writes,
    consumers: combine(consumers.map(({ report }) => report)),
  });
  const view = map(changes, (now) => ({ where, file: file.path, ...now }));
  for (const consumer of consumers) void start(consumer.consume(hosts, stop.signal));
  void start(file.keep(hosts));
  const shown = stdout.isTTY ? drawTable(view, stop.signal) : printLines(view);
  shown.catch(() => stop.abort());

  if (forMs !== undefined) setTimeout(() => stop.abort(), forMs).unref();
  if (!stop.signal.aborted) await once(stop.signal, "abort");
  // With the directory all of the above ends, but not before each consumer was given the newest.
  newest.close();
  void start(keyspace.close()); // revokes the lease: our entry disappears at once
  const last = await shown;
  if (failures.length > 0) throw failures[0];
  return table(last);
}

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => (stop.signal.aborted ? process.exit(130) : stop.abort()));
}
stdout.on("error", () => stop.abort()); // nobody reads any more what we print

let exitCode = 2;
try {
  const options = await readOptions();
  exitCode = 1;
  console.log(options === undefined ? help : (await run(options, stop)).join("\n"));
  exitCode = 0;
} catch (error) {
  console.error(`host-directory: ${error instanceof Error ? error.message : String(error)}`);
}
process.exitCode = exitCode;
// There is nothing left to do but to take leave of a store; one that does not answer is not waited for.
setTimeout(() => process.exit(), 500).unref();
