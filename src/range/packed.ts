/**
 * Bytes as they are kept by the million: small ones as text, in which each character stands for one byte.
 *
 * A `Uint8Array` of 100 bytes takes 440 bytes with its `ArrayBuffer`, and 280 as a view of one that it shares; a string
 * of 100 characters takes 120. It also pins nothing but itself. Big values stay as they are: what an array takes on
 * top of its bytes is little beside them.
 */

/** Packed bytes: text of as many characters below 256, where they are at most {@link mostAsText}; or themselves. */
export type Packed = string | Uint8Array;

/** The most bytes that are kept as text. Beyond that little is saved, and a call can be given no end of arguments. */
export const mostAsText = 1024;

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Packs bytes, unless they are packed. Small ones are copied; big ones are kept, and must not be changed any more. */
export function pack(bytes: Packed): Packed {
  if (typeof bytes === "string" || bytes.length > mostAsText) return bytes;
  // Decoding is four times faster than what is right for all bytes. It is right for ASCII, and for nothing else is
  // the text as long as the bytes, but where U+FFFD stands for what is not UTF-8.
  const text = utf8.decode(bytes);
  if (text.length === bytes.length && !text.includes("\uFFFD")) return text;
  return String.fromCharCode.apply(null, bytes as unknown as number[]);
}

/** The packed bytes as text, where they are text and ASCII. */
export function asciiOf(packed: Packed | undefined): string | undefined {
  return typeof packed === "string" && ascii.test(packed) ? packed : undefined;
}

const ascii = /^[\0-\x7f]*$/;

/** Whether `packed` holds just these bytes. Without Node's Buffer, since backends of any runtime use this. */
export function holds(packed: Packed, bytes: Uint8Array): boolean {
  const { length } = bytes;
  if (packed.length !== length) return false;
  if (typeof packed === "string") {
    for (let i = 0; i < length; i++) if (packed.charCodeAt(i) !== bytes[i]) return false;
  } else {
    for (let i = 0; i < length; i++) if (packed[i] !== bytes[i]) return false;
  }
  return true;
}

/** Whether two hold the same bytes. */
export function samePacked(a: Packed, b: Packed): boolean {
  return typeof a === "string" || typeof b === "string" ? a === b : holds(a, b);
}

/** What the next small values are unpacked into: an `ArrayBuffer` for each would take most of the time. */
const blockBytes = 4096;
let block = new Uint8Array(0);
let used = 0;

/** The bytes that were packed. They belong to whoever asked, who may keep but not change them. */
export function unpack(packed: Packed): Uint8Array {
  if (typeof packed !== "string") return packed;
  const { length } = packed;
  if (used + length > block.length) {
    block = new Uint8Array(blockBytes);
    used = 0;
  }
  const bytes = block.subarray(used, (used += length));
  for (let i = 0; i < length; i++) bytes[i] = packed.charCodeAt(i);
  return bytes;
}
