/** The state of this machine, sampled into an Event Value. */
import { randomUUID } from "node:crypto";
import { freemem, loadavg, networkInterfaces, totalmem, uptime } from "node:os";
import { MemoryValue, type Watchable } from "event-value";

/** The state of a machine at one moment. */
export interface Host {
  /** The process that sampled it. Two that use the same name are told apart by this. */
  readonly run: string;
  /** How many samples that process has taken. */
  readonly sample: number;
  readonly addresses: readonly Address[];
  /** The average number of processes that ran or waited to run, over the last minute. */
  readonly load: number;
  /** In bytes, as is `totalMemory`. */
  readonly freeMemory: number;
  readonly totalMemory: number;
  /** In seconds. */
  readonly uptime: number;
}

/** One address of one network interface. */
export interface Address {
  readonly interface: string;
  readonly address: string;
  /** Only the machine itself can use it. */
  readonly internal: boolean;
}

/** What tells this process from any other. */
export const run: string = randomUUID();

/** Samples this machine every `everyMs` until `signal` is aborted; then the value ends. */
export function sampleMachine(everyMs: number, signal: AbortSignal): Watchable<Host> {
  const machine = new MemoryValue({ initial: takeSample(1) });
  const timer = setInterval(() => machine.update(({ sample }) => takeSample(sample + 1)), everyMs);
  signal.addEventListener("abort", () => {
    clearInterval(timer);
    machine.close();
  });
  return machine;
}

function takeSample(sample: number): Host {
  return {
    run,
    sample,
    addresses: Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
      addresses.map(({ address, internal }) => ({ interface: name, address, internal })),
    ),
    load: loadavg()[0] ?? 0,
    freeMemory: freemem(),
    totalMemory: totalmem(),
    uptime: uptime(),
  };
}
