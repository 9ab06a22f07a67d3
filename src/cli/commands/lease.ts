/** `event-value lease`: holds a lease, and keys that are bound to it. */
import { once } from "node:events";
import { text } from "../../codec.ts";
import { follow } from "../../internal/abort.ts";
import type { Lease } from "../../keyspace.ts";
import { put } from "../../keyspace/transaction.ts";
import type { LeaseCommand } from "../args.ts";
import { runChild } from "../child.ts";
import { exitCodes } from "../exit.ts";
import { explain } from "../explain.ts";
import type { Program } from "../program.ts";
import { type Call, callStore } from "../store.ts";

/** Resolves with the exit code, when the lease is revoked or lost. */
export function lease(program: Program, options: LeaseCommand): Promise<number> {
  return callStore(program, options.store, options.timeoutMs, async (call) => {
    const held = await begin(program, call, options);
    call.inTime();
    return program.untilInterrupted(async (interrupted) => {
      const over = new AbortController();
      over.signal.addEventListener("abort", () => {
        if (held.lost.aborted) program.note(explain(held.lost.reason));
      });
      const following = [held.lost, interrupted].map((signal) => follow(over, signal));
      try {
        const code = over.signal.aborted ? exitCodes.ok : await hold(program, held, options, over.signal);
        return held.lost.aborted ? exitCodes.lost : code;
      } finally {
        for (const entry of following) entry.unlink();
        // It revokes the lease, and waits for that no longer than a moment.
        await call.keyspace.close();
      }
    });
  });
}

/** Grants the lease and writes its keys. */
async function begin(program: Program, { keyspace, signal }: Call, { ttlMs, puts }: LeaseCommand): Promise<Lease> {
  const held = await keyspace.lease({ ttlMs, signal });
  if (puts.length > 0) {
    program.caution = "the keys may have been written, and go when their lease expires";
    const steps = puts.map(({ key, value }) => put(keyspace.value(key, text), value, { lease: held }));
    await keyspace.transaction(steps, { signal });
  }
  return held;
}

/** Resolves with the exit code, when the command has ended, or, without one, when `over` is aborted. */
async function hold(
  program: Program,
  { id }: Lease,
  { commandLine, graceMs }: LeaseCommand,
  over: AbortSignal,
): Promise<number> {
  if (commandLine === undefined) {
    await program.print(`${id}\n`);
    if (!over.aborted) await once(over, "abort");
    return exitCodes.ok;
  }
  // Stdout is the command's.
  program.note(`holding lease ${id}`);
  return runChild(program, commandLine, { env: { EVENT_VALUE_LEASE: id }, graceMs, signal: over });
}
