/** `json(schema)` with the validators that people use, as a range watcher sees it. */
import { type } from "arktype";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { type Codec, isEventValueError, json } from "../../src/index.ts";
import { WaitList } from "../../src/internal/pull-watcher.ts";
import { ConflatingLog } from "../../src/range/conflating-log.ts";
import type { Feed } from "../../src/range/feed.ts";
import { watchRange } from "../../src/range/watchers.ts";
import { rejection, turn } from "../support/promises.ts";

const utf8 = new TextEncoder();

interface Service {
  host: string;
  ports: number[];
  zone: string;
}

/** What is tested of a validator; each makes the same schemas in its own way. */
interface Validator {
  readonly name: string;
  /** Of a service, whose zone is "a" where it is not given. */
  readonly service: Codec<Service>;
  readonly numbers: Codec<number[]>;
  /** Encodes a text that the schema refuses, with a message that quotes it. */
  readonly quote: (refused: string) => Uint8Array;
  /** What the issues of the service below read like: of its host, and of its second port. */
  readonly issues: readonly [host: string, port: string];
}

const validators: readonly Validator[] = [
  {
    name: "Zod",
    service: json(z.object({ host: z.string(), ports: z.array(z.number()), zone: z.string().default("a") })),
    numbers: json(z.array(z.number())),
    quote: (refused) =>
      json(z.string().refine(() => false, { error: ({ input }) => String(input) })).encode(refused, "k"),
    issues: [
      "host: Invalid input: expected string, received number",
      "ports.1: Invalid input: expected number, received string",
    ],
  },
  {
    name: "Valibot",
    service: json(v.object({ host: v.string(), ports: v.array(v.number()), zone: v.optional(v.string(), "a") })),
    numbers: json(v.array(v.number())),
    quote: (refused) => json(v.union([v.number(), v.boolean()])).encode(refused as never, "k"),
    issues: [
      "host: Invalid type: Expected string but received 1",
      'ports.1: Invalid type: Expected number but received "http"',
    ],
  },
  {
    name: "ArkType, whose schemas are functions",
    service: json(type({ host: "string", ports: "number[]", zone: "string = 'a'" })),
    numbers: json(type("number[]")),
    quote: (refused) => json(type("'a' | 'b'")).encode(refused as never, "k"),
    issues: ["host: host must be a string (was a number)", "ports.1: ports[1] must be a number (was a string)"],
  },
];

/** The services that a store holds, by key, at revisions from 1 on. */
function feedOf(stored: { readonly [key: string]: unknown }): Feed {
  const log = new ConflatingLog();
  let revision = 0;
  for (const [key, value] of Object.entries(stored)) {
    revision++;
    log.put(key, utf8.encode(JSON.stringify(value)), revision, revision);
  }
  log.settle(revision);
  const waiting = new WaitList();
  return {
    log,
    waiting,
    ended: false,
    freshTo: 1,
    readers: 0,
    patienceMs: 0,
    demand: () => 1,
    asked() {},
    released() {},
  };
}

describe.each(validators)("json with a schema of $name", ({ service, numbers, quote, issues }) => {
  const wrong = { host: 1, ports: [80, "http"] };

  test("K8 bad data is local: what it refuses is EV_DECODE, with its issues and where they are; the next get goes on", async () => {
    using watcher = watchRange(
      feedOf({ a: wrong, b: { host: "b", ports: [80], zone: "z" } }),
      service.decode,
      undefined,
    );
    const error = await rejection(watcher.get());
    expect(isEventValueError(error, "EV_DECODE")).toBe(true);
    expect(error).toMatchObject({
      key: "a",
      revision: 1,
      bytes: utf8.encode(JSON.stringify(wrong)),
      cause: expect.any(TypeError),
    });
    expect((error as Error).message).toContain('the value of "a" at revision 1 cannot be decoded: ');
    for (const issue of issues) expect((error as Error).message).toContain(issue);
    expect(await watcher.get()).toMatchObject({ key: "b", value: { host: "b", ports: [80], zone: "z" } });
  });

  test("fills in defaults when it decodes", async () => {
    using watcher = watchRange(feedOf({ a: { host: "a", ports: [] } }), service.decode, undefined);
    expect(await watcher.get()).toMatchObject({ value: { host: "a", ports: [], zone: "a" } });
  });

  test("refuses to encode what the schema refuses with a TypeError that has its issues", () => {
    expect(() => service.encode(wrong as never, "k")).toThrow(TypeError);
    for (const issue of issues) expect(() => service.encode(wrong as never, "k")).toThrow(issue);
    const encoded = service.encode({ host: "a", ports: [1], zone: "z" }, "k");
    expect(service.decode(encoded, "k")).toEqual({ host: "a", ports: [1], zone: "z" });
  });

  test("says of a value that is wrong throughout how many issues there are, in a message of bounded length", () => {
    const refused = (): number[] => numbers.decode(utf8.encode(JSON.stringify(Array(1000).fill("x"))), "k");
    expect(refused).toThrow(/^0: .+; 4: [^;]+; and 995 more$/);
    const exactly = (): number[] => numbers.decode(utf8.encode('["a","b","c","d","e"]'), "k");
    expect(exactly).toThrow(/; 4: [^;]+$/);
  });

  test("quotes a large value in part", () => {
    expect(() => quote("x".repeat(1_000_000))).toThrow(/^.{0,100}x{50,200}…$/);
  });
});

describe("json with an asynchronous schema", () => {
  const schemas = {
    Zod: json(z.string().refine(async () => true)),
    "Zod that refuses": json(z.string().refine(async () => false)),
    Valibot: json(
      v.pipeAsync(
        v.string(),
        v.checkAsync(async () => true),
      ),
    ),
    "Valibot that rejects": json(
      v.pipeAsync(
        v.string(),
        v.checkAsync(() => Promise.reject(new Error("late"))),
      ),
    ),
    // @ts-expect-error -- its output is a promise, which is not a valid input
    ArkType: json(type("string").pipe(async (value) => value)),
    // @ts-expect-error -- its output is a promise, which is not a valid input
    "ArkType that rejects": json(type("string").pipe(() => Promise.reject(new Error("late")))),
  } as Readonly<Record<string, Codec<unknown>>>;

  test.each(Object.entries(schemas))("of %s is a TypeError, and its promise goes unnoticed", async (_, codec) => {
    for (const call of [() => codec.decode(utf8.encode('"text"'), "k"), () => codec.encode("text", "k")]) {
      expect(call).toThrow(TypeError);
      expect(call).toThrow("asynchronously");
    }
    using watcher = watchRange(feedOf({ a: "text" }), codec.decode, undefined);
    expect(await rejection(watcher.get())).toMatchObject({
      code: "EV_DECODE",
      message: expect.stringContaining("async"),
    });
    // vitest fails the run on an unhandled rejection, which is known when the loop has turned.
    await turn();
  });
});

test("json writes back what a coercing schema gives", () => {
  const codec = json(z.object({ at: z.coerce.date(), count: z.coerce.number() }));
  const decoded = codec.decode(utf8.encode('{"at":"2020-01-02T03:04:05.000Z","count":"7"}'), "k");
  expect(decoded).toEqual({ at: new Date("2020-01-02T03:04:05Z"), count: 7 });
  expect(codec.decode(codec.encode(decoded, "k"), "k")).toEqual(decoded);
});
