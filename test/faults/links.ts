/** What links of all kinds have in common when they break. */
import { eventually, type Harm } from "./fault.ts";

interface Breakable {
  /** How many bytes were lost in a black hole. */
  readonly swallowed: number;
  blackhole(): void;
  heal(): void | Promise<void>;
}

export async function healAll(links: readonly Breakable[]): Promise<void> {
  await Promise.all(links.map(async (link) => link.heal()));
}

export function blackhole(links: readonly Breakable[]): Pick<Harm, "bit" | "heal"> {
  const lost = (): number => links.reduce((sum, { swallowed }) => sum + swallowed, 0);
  const before = lost();
  for (const link of links) link.blackhole();
  return {
    // Who has nobody to talk to is silent, and loses nothing.
    bit: () => eventually("something is lost", () => lost() > before),
    heal: () => healAll(links),
  };
}
