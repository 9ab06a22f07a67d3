/**
 * A consumer that keeps a hosts file up to date.
 *
 * It watches the same value as everybody, which changes many times a second, but what it sees of it is the text of the
 * file, and only when that differs from the one before.
 */
import { distinctUntilChanged, map, MemoryValue, pipeTo, type Watchable } from "event-value";
import { OwnFile } from "../shared/own-file.ts";
import type { Hosts } from "./directory.ts";
import type { Host } from "./machine.ts";

const header = "# Kept up to date by the host-directory example of event-value: changes made by hand are lost.\n";

export class HostsFile extends OwnFile {
  /** How many times the file was written. */
  readonly writes: MemoryValue<number, never> = new MemoryValue({ initial: 0 });

  constructor(path: string) {
    super(path, header, "choose another with --hosts FILE");
  }

  /** Writes the file whenever the names and addresses change, until `hosts` ends. */
  async keep(hosts: Watchable<Hosts>): Promise<void> {
    const text = distinctUntilChanged(map(hosts, ({ byName }) => format(byName)));
    const write = async (wanted: string): Promise<void> => {
      if (await this.write(wanted)) this.writes.update((writes) => writes + 1);
    };
    await pipeTo(text, write).finally(() => this.writes.close());
  }
}

/** The addresses by which other machines reach a host. Link-local ones mean nothing without an interface of theirs. */
export function reachable({ addresses }: Host): string[] {
  return addresses
    .filter(({ internal, address }) => !internal && !/^fe[89ab]/i.test(address))
    .map(({ address }) => address);
}

function format(hosts: ReadonlyMap<string, Host>): string {
  const lines = [...hosts].flatMap(([name, host]) => {
    const addresses = reachable(host);
    if (addresses.length === 0) return [`# ${name} has no address that others can reach`];
    return addresses.map((address) => `${address.padEnd(15)} ${name}`);
  });
  return lines.map((line) => `${line}\n`).join("");
}
