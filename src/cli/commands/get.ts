/** `event-value get`: reads a key, or lists a prefix. */
import { bytes } from "../../codec.ts";
import type { InvalidUpdate, KeyUpdate } from "../../keyspace.ts";
import type { GetCommand } from "../args.ts";
import { exitCodes, Failure } from "../exit.ts";
import type { Program } from "../program.ts";
import { callStore } from "../store.ts";
import { compareKeys, escapeControls } from "../text.ts";
import { base64Of, changeLine, inPieces, jsonLine, textOf, valueField } from "../values.ts";

export function get(program: Program, options: GetCommand): Promise<void> {
  return options.prefix ? list(program, options) : getOne(program, options);
}

async function getOne(program: Program, { store, key, base64, json, timeoutMs }: GetCommand): Promise<void> {
  const found = await callStore(program, store, timeoutMs, ({ keyspace, signal }) =>
    keyspace.value(key, bytes).read({ signal }),
  );
  if (found === undefined) {
    const hint = key.endsWith("/") ? " (--prefix lists the keys that begin with it)" : "";
    throw new Failure(exitCodes.absent, `${JSON.stringify(key)} is absent${hint}`);
  }
  const { value, revision, createRevision } = found;
  if (json) return program.print(jsonLine({ key, ...valueField(value, base64), revision, createRevision }));
  if (base64) return program.print(`${base64Of(value)}\n`);
  const text = textOf(value);
  if (text === undefined)
    throw new Failure(exitCodes.failed, `the value of ${JSON.stringify(key)} is not UTF-8 text: use --base64`);
  // Nobody but a terminal acts on what is in a value.
  await program.print(`${program.stdout.isTTY ? escapeControls(text, "\n\t") : text}\n`);
}

async function list(program: Program, { store, key: prefix, base64, json, timeoutMs }: GetCommand): Promise<void> {
  const { changes } = await callStore(program, store, timeoutMs, ({ keyspace, signal }) =>
    keyspace.range(prefix, bytes).read({ signal }),
  );
  if (changes.length === 0) {
    const which = prefix === "" ? "there are no keys" : `no key begins with ${JSON.stringify(prefix)}`;
    throw new Failure(exitCodes.absent, which);
  }
  const entries = [...changes].sort((a, b) => compareKeys(a.key, b.key));
  let leftOut = 0;
  const plainLine = (entry: KeyUpdate<Uint8Array> | InvalidUpdate): string => {
    const value = entry.type === "put" ? entry.value : entry.type === "invalid" ? entry.bytes : new Uint8Array();
    const shown = base64 ? base64Of(value) : textOf(value);
    if (shown === undefined || entry.type === "invalid") {
      leftOut++;
      return "";
    }
    // A line a key, whatever is in it.
    return `${escapeControls(entry.key)}\t${escapeControls(shown)}\n`;
  };
  const lines = entries.map((entry) => (json ? entryLine(entry, base64) : plainLine(entry)));
  for (const piece of inPieces(lines)) await program.print(piece);
  if (leftOut > 0) {
    throw new Failure(
      exitCodes.failed,
      `left out ${leftOut} of ${entries.length} keys, as key or value is not UTF-8 text: use --json`,
    );
  }
}

/** As `changeLine`, without the type that is the same for all. */
function entryLine(entry: KeyUpdate<Uint8Array> | InvalidUpdate, base64: boolean): string {
  if (entry.type !== "put") return changeLine(entry, base64);
  const { key, value, revision, createRevision } = entry;
  return jsonLine({ key, ...valueField(value, base64), revision, createRevision });
}
