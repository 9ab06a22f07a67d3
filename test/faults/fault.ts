/** What a fault is: it does harm, proves that the harm bit, and is healed. */
import { setTimeout as delay } from "node:timers/promises";
import type { Random } from "../support/seed.ts";
import type { World } from "../proof/world.ts";

/** Harm that was done. */
export interface Harm {
  /** What was done to whom. */
  readonly what: string;
  /** The keyspaces that cannot reach the store while it lasts, by nothing but this. */
  readonly cutOff?: readonly number[];
  /** Resolves when it has shown that the harm bit; rejects where it does not. */
  bit(): Promise<void>;
  heal(): void | Promise<void>;
}

export interface Fault {
  readonly name: string;
  /** Whether it takes a cluster that is well otherwise. */
  readonly alone?: boolean;
  inflict(world: World, random: Random): Promise<Harm>;
}

/** Resolves when `holds` does; rejects when it does not within `timeoutMs`. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 15_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`the fault did not bite: ${what}`);
    await delay(10);
  }
}

/** What needs no healing. */
export function nothing(): void {}
