/** `event-value delete`: deletes a key. */
import { bytes } from "../../codec.ts";
import type { DeleteCommand } from "../args.ts";
import { exitCodes, Failure } from "../exit.ts";
import type { Program } from "../program.ts";
import { beginWrite, callStore } from "../store.ts";
import { jsonLine } from "../values.ts";

export async function remove(program: Program, { store, key, json, timeoutMs }: DeleteCommand): Promise<void> {
  const { deleted, revision } = await callStore(program, store, timeoutMs, async (call) => {
    await beginWrite(program, call, key);
    return call.keyspace.value(key, bytes).delete({ signal: call.signal });
  });
  if (!deleted) throw new Failure(exitCodes.absent, `${JSON.stringify(key)} is absent`);
  await program.print(json ? jsonLine({ key, revision }) : `${revision}\n`);
}
