/**
 * A consumer that keeps a hosts file up to date.
 *
 * It watches the same value as everybody, which changes many times a second, but what it sees of it is the text of the
 * file, and only when that differs from the one before.
 */
import { lstat, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { distinctUntilChanged, map, MemoryValue, pipeTo, type Watchable } from "event-value";
import type { Hosts } from "./directory.ts";
import type { Host } from "./machine.ts";

/** The first line of every file that this program writes. It overwrites no other. */
const header = "# Kept up to date by the host-directory example of event-value: changes made by hand are lost.\n";

export class HostsFile {
  readonly path: string;
  /** How many times the file was written. */
  readonly writes: MemoryValue<number, never> = new MemoryValue({ initial: 0 });

  constructor(path: string) {
    this.path = path;
  }

  /** The text of the file; undefined where there is none. Throws where the file is not ours. */
  async read(): Promise<string | undefined> {
    const found = await lstat(this.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (found === undefined) return undefined;
    const text = found.isFile() ? await readFile(this.path, "utf8") : "";
    if (text.startsWith(header)) return text;
    throw new Error(`${this.path} was not written by this program and is left alone: choose another with --hosts FILE`);
  }

  /** Writes the file whenever the names and addresses change, until `hosts` ends. */
  async keep(hosts: Watchable<Hosts>): Promise<void> {
    const text = distinctUntilChanged(map(hosts, ({ byName }) => format(byName)));
    const write = async (wanted: string): Promise<void> => {
      if ((await this.read()) === wanted) return;
      await this.#replace(wanted);
      this.writes.update((writes) => writes + 1);
    };
    await pipeTo(text, write).finally(() => this.writes.close());
  }

  /** At any moment the file is there, whole: the old one or the new one. */
  async #replace(text: string): Promise<void> {
    const temporary = join(dirname(this.path), `.${basename(this.path)}.${process.pid}`);
    try {
      await writeFile(temporary, text, { flush: true });
      await rename(temporary, this.path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}

/** The addresses by which other machines reach a host. Link-local ones mean nothing without an interface of theirs. */
export function reachable({ addresses }: Host): string[] {
  return addresses
    .filter(({ internal, address }) => !internal && !/^fe[89ab]/i.test(address))
    .map(({ address }) => address);
}

function format(hosts: ReadonlyMap<string, Host>): string {
  const lines = [...hosts].sort(byName).flatMap(([name, host]) => {
    const addresses = reachable(host);
    if (addresses.length === 0) return [`# ${name} has no address that others can reach`];
    return addresses.map((address) => `${address.padEnd(15)} ${name}`);
  });
  return header + lines.map((line) => `${line}\n`).join("");
}

function byName([a]: [string, Host], [b]: [string, Host]): number {
  return a < b ? -1 : 1;
}
