/** A long round: see scripts/soak.mjs. */
import { round } from "./round.ts";

/** Options of {@link soak}. */
export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  /** The server to run. */
  readonly bin: string;
  readonly only?: string;
  readonly mutation?: string;
}

/** Runs it and says how it goes. @returns whether every guarantee held */
export async function soak({ minutes, ...options }: SoakOptions): Promise<boolean> {
  const { violations, struck } = await round({ ...options, forMs: minutes * 60_000, log: console.log });
  console.log("\nfaults that struck:");
  for (const [name, count] of [...struck].sort(([, a], [, b]) => b - a)) {
    console.log(`${String(count).padStart(5)}  ${name}`);
  }
  for (const violation of violations) console.log(`\n${violation}`);
  return violations.length === 0;
}
