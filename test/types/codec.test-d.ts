/** What the types of `json(schema)` are with the validators that people use; checked by tsc, never run. */
import { type } from "arktype";
import * as v from "valibot";
import * as z from "zod";
import { type Codec, json } from "../../src/index.ts";
import { type Equal, expectType } from "./expect.ts";

interface Service {
  host: string;
  ports: number[];
}

// The codec's type is the schema's.
{
  const zod = json(z.object({ host: z.string(), ports: z.array(z.number()) }));
  expectType<Equal<typeof zod, Codec<{ host: string; ports: number[] }>>>();
  const valibot = json(v.object({ host: v.string(), ports: v.array(v.number()) }));
  expectType<Equal<typeof valibot, Codec<{ host: string; ports: number[] }>>>();
  const arktype = json(type({ host: "string", ports: "number[]" }));
  expectType<Equal<typeof arktype, Codec<{ host: string; ports: number[] }>>>();
  const codecs: readonly Codec<Service>[] = [zod, valibot, arktype];
  void codecs;
  // @ts-expect-error -- a list of ports is wanted
  zod.encode({ host: "a", ports: "80" }, "k");
  // @ts-expect-error -- a list of ports is wanted
  valibot.encode({ host: "a", ports: "80" }, "k");
  // @ts-expect-error -- a list of ports is wanted
  arktype.encode({ host: "a", ports: "80" }, "k");
}

// Unions, optional properties, and types that are a text or a number at run time.
{
  const zod = json(z.discriminatedUnion("up", [z.object({ up: z.literal(true), port: z.number().optional() })]));
  expectType<Equal<typeof zod, Codec<{ up: true; port?: number | undefined }>>>();
  const brandedByZod = json(z.string().brand("Host"));
  expectType<Equal<typeof brandedByZod, Codec<string & z.$brand<"Host">>>>();
  const valibot = json(v.union([v.number(), v.pipe(v.string(), v.minLength(1))]));
  expectType<Equal<typeof valibot, Codec<string | number>>>();
  const brandedByValibot = json(v.pipe(v.string(), v.brand("Host")));
  expectType<Equal<typeof brandedByValibot, Codec<string & v.Brand<"Host">>>>();
  const arktype = json(type("'up' | 'down' | number"));
  expectType<Equal<typeof arktype, Codec<"up" | "down" | number>>>();
}

// What is optional on the way in may be filled in on the way out.
{
  const zod = json(z.object({ host: z.string(), port: z.number().default(80) }));
  expectType<Equal<typeof zod, Codec<{ host: string; port: number }>>>();
  const valibot = json(v.object({ host: v.string(), port: v.optional(v.number(), 80) }));
  expectType<Equal<typeof valibot, Codec<{ host: string; port: number }>>>();
  const arktype = json(type({ host: "string", port: "number = 80" }));
  expectType<Equal<typeof arktype, Codec<{ host: string; port: number }>>>();
}

// Anything goes in where a schema coerces, so also what comes out.
{
  const zod = json(z.coerce.date());
  expectType<Equal<typeof zod, Codec<Date>>>();
  const valibot = json(v.pipe(v.unknown(), v.transform(Number)));
  expectType<Equal<typeof valibot, Codec<number>>>();
  const arktype = json(type("unknown").pipe(Number));
  expectType<Equal<typeof arktype, Codec<number>>>();
}

// A schema whose output is not a valid input could not be written back.
{
  // @ts-expect-error -- the schema's output is not a valid input
  json(z.string().transform(Number));
  // @ts-expect-error -- the schema's output is not a valid input
  json(z.object({ at: z.codec(z.string(), z.date(), { decode: (text) => new Date(text), encode: String }) }));
  // @ts-expect-error -- the schema's output is not a valid input
  json(v.pipe(v.string(), v.transform(Number)));
  // @ts-expect-error -- the schema's output is not a valid input
  json(v.object({ port: v.pipe(v.string(), v.transform(Number)) }));
  // @ts-expect-error -- the schema's output is not a valid input
  json(type("string").pipe(Number));
  // @ts-expect-error -- the schema's output is not a valid input
  json(type({ port: "string.numeric.parse" }));
}
