/**
 * What people see: a live table on a terminal, plain lines elsewhere.
 *
 * Both are consumers of one Event Value, as slow as they like to be: the table is drawn five times a second, whatever
 * happens in between.
 */
import { stdout } from "node:process";
import type { Status, Watchable } from "event-value";
import { pause, type Report } from "./consumers.ts";
import type { Hosts } from "./directory.ts";
import { reachable } from "./hosts-file.ts";
import type { Host } from "./machine.ts";

/** All there is to show. */
export interface View {
  /** Undefined until the directory is known. */
  readonly hosts: Hosts | undefined;
  /** Where the directory is, and how that stands. */
  readonly where: string;
  readonly state: string;
  readonly consumers: readonly Report[];
  /** The hosts file, and how many times it was written. */
  readonly file: string;
  readonly writes: number;
}

/** Draws `view` until it ends, and resolves with the last of it. An abort of `hurry` ends the pauses. */
export async function drawTable(view: Watchable<View>, hurry: AbortSignal): Promise<View> {
  const leave = (): void => void stdout.write("\x1b[?25h\x1b[?1049l");
  process.once("exit", leave);
  stdout.write("\x1b[?1049h\x1b[?25l"); // a screen of our own, without a cursor
  let last: View;
  for await (last of view.watch()) {
    const lines = table(last).slice(0, stdout.rows - 1);
    const drawn = lines.map((line) => `${emphasize(line.slice(0, stdout.columns))}\x1b[K\n`);
    stdout.write(`\x1b[H${drawn.join("")}\x1b[J`);
    await pause(200, hurry);
  }
  process.off("exit", leave);
  leave();
  return last!;
}

/** As {@link drawTable}, but prints what changes, a line each. What changes with every sample is left out. */
export async function printLines(view: Watchable<View>): Promise<View> {
  let before: View | undefined;
  for await (const now of view.watch()) {
    for (const line of differences(before, now)) console.log(line);
    before = now;
  }
  return before!;
}

function* differences(before: View | undefined, now: View): Iterable<string> {
  if (now.state !== before?.state) yield `directory ${now.where}: ${now.state.replace("\n", ", ")}`;
  const knew = addressesByName(before);
  const knows = addressesByName(now);
  for (const [name, addresses] of knows) if (addresses !== knew.get(name)) yield `host ${name}: ${addresses}`;
  for (const name of knew.keys()) if (!knows.has(name)) yield `host ${name}: gone`;
  if (now.writes !== (before?.writes ?? 0)) yield `hosts file: ${now.file} written`;
  for (const [i, { name, delivered, skipped, newest }] of now.consumers.entries()) {
    const isNews = delivered !== (before?.consumers[i]?.delivered ?? 0);
    if (isNews && skipped > 0) yield `${name}: delivered change ${newest}, skipped ${skipped} so far`;
  }
}

function addressesByName(view: View | undefined): Map<string, string> {
  return new Map([...(view?.hosts?.byName ?? [])].map(([name, host]) => [name, addressesOf(host)]));
}

/** The whole picture. It is drawn for 80 columns; wider terminals have more room for names and addresses. */
export function table({ hosts, where, state, consumers, file, writes }: View): string[] {
  const known = [...(hosts?.byName ?? [])];
  const unreadable = [...(hosts?.unreadable ?? [])].map(
    (key) => `${key.replace(/\p{C}/gu, "\ufffd")} is not the state of a host`,
  );
  const changes = hosts?.change ?? 0;
  const queued = consumers.reduce((sum, { delivered }) => sum + Math.max(changes - delivered, 0), 0);
  return [
    "EVENT VALUES AT WORK: A DIRECTORY OF HOSTS",
    "Each host samples its state ten times a second and publishes it in a directory.",
    `This one is kept ${where}:`,
    ...state.split("\n"),
    "",
    columns("HOST", "ADDRESSES", "LOAD", "FREE MEMORY", "UP"),
    ...known.map(([name, host]) =>
      columns(name, addressesOf(host), host.load.toFixed(2), memoryOf(host), duration(host.uptime)),
    ),
    ...(hosts === undefined ? ["(not known yet)"] : unreadable),
    "",
    `The directory changed ${changes} times. Its consumers read at different speeds:`,
    "",
    columns("CONSUMER", "READS", "DELIVERED", "SKIPPED", "NEWEST IT HAS"),
    ...consumers.map(({ name, reads, delivered, skipped, newest }) =>
      columns(name, reads, String(delivered), String(skipped), `change ${newest}`),
    ),
    "",
    "DELIVERED: changes it was given. SKIPPED: those overwritten before it came to",
    "read. It is always given the newest change, and never misses the last one. Slow",
    "consumers delay nobody, and of all changes only the newest is kept in memory:",
    `queues would hold ${queued} changes for these three by now.`,
    "",
    "HOSTS FILE",
    `${file}, ${written(writes, hosts)}`,
    "This consumer is given only the changes of names and addresses.",
  ];
}

function written(times: number, hosts: Hosts | undefined): string {
  if (times > 0) return times === 1 ? "written once" : `written ${times} times`;
  return hosts === undefined ? "left as it is until the directory is known" : "found up to date";
}

function columns(first: string, second: string, ...numbers: [string, string, string]): string {
  const spare = Math.min(Math.max((stdout.columns ?? 80) - 80, 0), 40);
  const [a, b, c] = numbers;
  return fit(first, 15) + fit(second, 22 + spare) + a.padStart(10) + b.padStart(18) + c.padStart(15);
}

function fit(text: string, width: number): string {
  return (text.length < width ? text : `${text.slice(0, width - 2)}…`).padEnd(width);
}

/** How the store of the directory stands. */
export function describe(status: Status): string {
  switch (status.state) {
    case "live":
      return "connected";
    case "connecting":
      return `connecting since ${time(status.since)}${because(status.cause)}`;
    case "stale":
      return `no answer since ${time(status.since)}, what is shown was true then${because(status.cause)}`;
    case "closed":
      return "left";
  }
}

function time(date: Date): string {
  return date.toTimeString().slice(0, 8);
}

function because(cause: unknown): string {
  return cause instanceof Error ? `\n${cause.message}` : "";
}

/** Headings are bold. */
function emphasize(line: string): string {
  return /^[A-Z: ]+$/.test(line) ? `\x1b[1m${line}\x1b[m` : line;
}

function addressesOf(host: Host): string {
  return reachable(host).join(", ") || "none that others can reach";
}

function memoryOf({ freeMemory, totalMemory }: Host): string {
  const gigabytes = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);
  return `${gigabytes(freeMemory)} of ${gigabytes(totalMemory)} GiB`;
}

function duration(seconds: number): string {
  const units = { d: 86_400, h: 3600, min: 60, s: 1 };
  let rest = Math.floor(seconds);
  const parts = Object.entries(units).flatMap(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest %= size;
    return count > 0 ? [`${count} ${unit}`] : [];
  });
  return parts.slice(0, 2).join(" ");
}
