/** `event-value set`: writes a key. */
import { bytes } from "../../codec.ts";
import type { SetCommand, ValueSource } from "../args.ts";
import { UsageError } from "../exit.ts";
import type { Program } from "../program.ts";
import { beginWrite, callStore, readGiven } from "../store.ts";
import { jsonLine } from "../values.ts";

export async function set(
  program: Program,
  { store, key, value: source, base64, json, timeoutMs }: SetCommand,
): Promise<void> {
  const given = await read(program, source);
  const value = base64 ? decodeBase64(given) : given;
  const { revision } = await callStore(program, store, timeoutMs, async (call) => {
    await beginWrite(program, call, key);
    return call.keyspace.value(key, bytes).set(value, { signal: call.signal });
  });
  await program.print(json ? jsonLine({ key, revision }) : `${revision}\n`);
}

async function read(program: Program, source: ValueSource): Promise<Buffer> {
  switch (source.from) {
    case "argument":
      return Buffer.from(source.text);
    case "file":
      return readGiven("--file", source.path);
    case "stdin": {
      const chunks: Buffer[] = [];
      for await (const chunk of program.stdin) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    }
    default:
      return source satisfies never;
  }
}

function decodeBase64(given: Buffer): Buffer {
  const text = given.toString("latin1").replace(/\s+/g, "");
  // Node's decoder takes anything, and drops what it does not know.
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/.test(text)) {
    throw new UsageError("set: with --base64 the value must be in base64");
  }
  return Buffer.from(text, "base64");
}
