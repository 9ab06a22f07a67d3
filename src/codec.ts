/**
 * Codecs turn the bytes a store holds into values and back.
 *
 * A decoder that throws is not a failure of the watcher: the store keeps the bytes, the one `get()` concerned
 * rejects with `EV_DECODE` (which has key, bytes and cause), and everything else goes on.
 */

import { mustBe } from "./internal/arguments.ts";

/** Decodes the bytes stored under `key`; throws when they are not a `T`. It must not keep or change the array. */
export type Decode<out T> = (bytes: Uint8Array, key: string) => T;

/** The same, of text that is ASCII. */
type DecodeAscii<out T> = (ascii: string, key: string) => T;

/** How values of type `T` are stored. */
export interface Codec<in out T> {
  /** Decodes the bytes stored under `key`; throws when they are not a `T`. */
  decode(bytes: Uint8Array, key: string): T;
  /** Encodes `value` for storing it under `key`; throws when it cannot be stored. */
  encode(value: T, key: string): Uint8Array;
}

/**
 * The part of the Standard Schema interface that is used here; see https://standardschema.dev. Validators such as
 * Zod, Valibot and ArkType implement it.
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a schema says of a value: the value it becomes, or why it is refused. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: ReadonlyArray<StandardIssue> };

/** One reason why a schema refuses a value, and where in it. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
}

/** The type a schema takes. */
export type InferInput<S extends StandardSchemaV1> = NonNullable<S["~standard"]["types"]>["input"];
/** The type a schema gives. */
export type InferOutput<S extends StandardSchemaV1> = NonNullable<S["~standard"]["types"]>["output"];

/**
 * Bytes as they are. Both directions copy, so what a caller does with its array does not change what is stored. What
 * was decoded is shared by all watchers of a key or range, of this codec as of any other: do not change it in place.
 */
export const bytes: Codec<Uint8Array> = {
  // Not slice(), which does not copy where the array is a Buffer.
  decode: (stored) => new Uint8Array(stored),
  encode(value) {
    if (!(value instanceof Uint8Array)) throw mustBe("value", "a Uint8Array", value);
    return new Uint8Array(value);
  },
};

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const utf8 = new TextEncoder();

/**
 * What decodes text that is ASCII, and so its own UTF-8, as a codec or a function made of it does. Small values are kept as text
 * (range/packed.ts): to make bytes of that, and text of the bytes again, is a sixth of what a first snapshot costs.
 */
const asciiDecoders = new WeakMap<object, DecodeAscii<unknown>>();

/** Where a function of {@link decoderOf} has what does the same of ASCII: it is asked for at each value. */
const ofAscii: unique symbol = Symbol("of ASCII");
type WithAscii<T> = Decode<T> & { readonly [ofAscii]?: DecodeAscii<T> | undefined };

/** A function that decodes by `codec`, for {@link asciiDecoderOf} to know. @internal */
export function decoderOf<T>(codec: Codec<T>): Decode<T> {
  const decode: Decode<T> = (bytes, key) => codec.decode(bytes, key);
  return Object.assign(decode, { [ofAscii]: asciiDecoders.get(codec) });
}

/** What does the same as `decode`, of ASCII text. Undefined where it wants the bytes, as users' own decoders do. @internal */
export function asciiDecoderOf<T>(decode: Decode<T>): DecodeAscii<T> | undefined {
  return (decode as WithAscii<T>)[ofAscii];
}

/** UTF-8 text. Bytes that are not UTF-8 are rejected, a lone surrogate is a `TypeError`. */
export const text: Codec<string> = {
  decode: (stored) => strictUtf8.decode(stored),
  encode(value) {
    if (typeof value !== "string") throw mustBe("value", "a string", value);
    if (hasLoneSurrogate(value)) throw new TypeError("value holds a lone surrogate, which UTF-8 cannot store");
    return utf8.encode(value);
  },
};
asciiDecoders.set(text, (stored) => stored);

/**
 * JSON, in UTF-8. Without a schema the type is the caller's word, unchecked; with one (any Standard Schema: Zod,
 * Valibot, ArkType, …) what was stored is validated when it is read, and what is written is validated before.
 * A schema whose output is not a valid input does not type-check, since what it gives could not be written back.
 *
 * `decode` throws where the bytes are not JSON or the schema refuses them; `encode` throws a `TypeError` for what
 * JSON cannot hold (`undefined`, a function, a symbol, a BigInt, a cycle) and for what the schema refuses. The message
 * has the first issues of the schema and where in the value they are, and how many more there are. A schema that
 * validates asynchronously is a `TypeError`.
 *
 * @example
 * ```ts
 * import { json } from "event-value";
 *
 * const codec = json<{ host: string; port: number }>();
 * const stored = codec.encode({ host: "db1", port: 5432 }, "services/db");
 * console.log(codec.decode(stored, "services/db").port); // 5432
 * ```
 *
 * @example
 * ```ts
 * import { json } from "event-value";
 * import * as z from "zod";
 *
 * const codec = json(z.object({ host: z.string(), port: z.number().default(5432) }));
 * const stored = new TextEncoder().encode('{"host":"db1"}');
 * console.log(codec.decode(stored, "services/db").port); // 5432
 * ```
 */
export function json<T>(): Codec<T>;
export function json<S extends StandardSchemaV1>(
  schema: S & (InferOutput<S> extends InferInput<S> ? unknown : "the schema's output is not a valid input"),
): Codec<InferOutput<S>>;
export function json(schema?: StandardSchemaV1): Codec<unknown> {
  if (schema !== undefined && typeof schema?.["~standard"]?.validate !== "function") {
    throw mustBe("schema", "a Standard Schema", schema);
  }
  const checked = (value: unknown): unknown => (schema === undefined ? value : validate(schema, value));
  const codec: Codec<unknown> = {
    decode: (stored) => checked(JSON.parse(strictUtf8.decode(stored))),
    encode(value) {
      checked(value);
      const encoded = JSON.stringify(value) as string | undefined;
      if (encoded === undefined) throw mustBe("value", "something JSON can hold", value);
      return utf8.encode(encoded);
    },
  };
  asciiDecoders.set(codec, (stored) => checked(JSON.parse(stored)));
  return codec;
}

/** What is said of a value that a schema refuses is bounded, however large the value: so many issues, … */
const mostIssues = 5;
/** … and of each so many characters of the path, and of what the schema says, which may quote the value. */
const mostCharacters = 200;

function validate(schema: StandardSchemaV1, value: unknown): unknown {
  const result = atOnce(schema["~standard"].validate(value));
  if (result.issues !== undefined) throw new TypeError(explain(result.issues));
  // ArkType answers at once, also where a morph is asynchronous: then it is the value that is a promise.
  return atOnce(result.value);
}

/** Refuses a promise or other thenable, whose outcome nobody hears of. */
function atOnce<T>(given: T | Promise<T>): T {
  if (typeof (given as Partial<Promise<T>> | null | undefined)?.then !== "function") return given as T;
  Promise.resolve(given).catch(() => {});
  throw new TypeError("schema validates asynchronously; a codec needs one that validates at once");
}

function explain(issues: ReadonlyArray<StandardIssue>): string {
  const parts = issues.slice(0, mostIssues).map(({ message, path = [] }) => {
    const where = path.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
    return where === "" ? shortened(message) : `${shortened(where)}: ${shortened(message)}`;
  });
  if (issues.length > mostIssues) parts.push(`and ${issues.length - mostIssues} more`);
  return parts.join("; ") || "the schema refused the value";
}

function shortened(part: string): string {
  return part.length > mostCharacters ? `${part.slice(0, mostCharacters)}…` : part;
}

function hasLoneSurrogate(value: string): boolean {
  return /\p{Surrogate}/u.test(value);
}
