/** Stored bytes as text, as JSON and as a cell of a table. */
import { text } from "../codec.ts";
import type { InvalidUpdate, KeyUpdate } from "../keyspace.ts";
import { toJson } from "./text.ts";

/** The text that the bytes are, or undefined where they are not UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return text.decode(bytes, "");
  } catch {
    return undefined;
  }
}

export function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** The property of a JSON object that holds the value: `value`, or `valueBase64` where it is not text or is not to be. */
export function valueField(bytes: Uint8Array, base64: boolean): { value: string } | { valueBase64: string } {
  const value = base64 ? undefined : textOf(bytes);
  return value === undefined ? { valueBase64: base64Of(bytes) } : { value };
}

/** A change as one line of JSON. */
export function changeLine(change: KeyUpdate<Uint8Array> | InvalidUpdate, base64: boolean): string {
  switch (change.type) {
    case "put": {
      const { type, key, value, revision, createRevision } = change;
      return jsonLine({ type, key, ...valueField(value, base64), revision, createRevision });
    }
    case "delete":
      return jsonLine({ type: change.type, key: change.key, revision: change.revision });
    case "invalid": {
      const { type, key, bytes, revision, error } = change;
      return jsonLine({ type, key, valueBase64: base64Of(bytes), revision, error: error.message });
    }
    default:
      return change satisfies never;
  }
}

export function jsonLine(value: unknown): string {
  return `${toJson(value)}\n`;
}

/** Lines in pieces that are worth a write each: a reader that is slow is asked often enough, and a fast one not too often. */
export function* inPieces(lines: Iterable<string>): Generator<string> {
  let piece = "";
  for (const line of lines) {
    piece += line;
    if (piece.length < pieceLength) continue;
    yield piece;
    piece = "";
  }
  if (piece !== "") yield piece;
}

const pieceLength = 1 << 16;
