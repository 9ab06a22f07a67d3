import { describe, expect, test } from "vitest";
import { asciiDecoderOf, decoderOf } from "../../../src/codec.ts";
import { bytes, type Codec, json, MemoryKeyspace, text } from "../../../src/index.ts";
import { asciiOf, pack } from "../../../src/range/packed.ts";

describe("values that are kept as text", () => {
  test("are decoded as their bytes would be, by every codec", async () => {
    await using keyspace = new MemoryKeyspace();
    const raw = keyspace.range("", bytes);
    const stored = ["", "ascii", '{"a":1}', "\u00e9", "値", '"\u00e9"', "\x7f\0"].map((value) => Buffer.from(value));
    stored.push(Buffer.from([0xff]), Buffer.from([0xe9]), Buffer.from("x".repeat(2000)));
    for (const [i, value] of stored.entries()) await raw.set(`${i}`.padStart(2, "0"), value);
    for (const codec of [text, json<unknown>()] as Codec<unknown>[]) {
      const { changes } = await keyspace.range("", codec).read();
      const expected = stored.map((value) => {
        try {
          return codec.decode(value, "key");
        } catch {
          return "invalid";
        }
      });
      expect(changes.map((change) => (change.type === "put" ? change.value : change.type))).toEqual(expected);
      using watcher = keyspace.range("", codec).watch();
      expect((await watcher.getBatch()).changes).toEqual(changes);
    }
  });

  test("are given as bytes to a codec that was made of another", async () => {
    const shouting: Codec<string> = { ...text, decode: (stored, key) => text.decode(stored, key).toUpperCase() };
    expect(asciiDecoderOf(decoderOf(text))).toBeDefined();
    expect(asciiDecoderOf(decoderOf(shouting))).toBeUndefined();
    await using keyspace = new MemoryKeyspace();
    const value = keyspace.value("key", shouting);
    await value.set("loud");
    expect((await value.read())?.value).toBe("LOUD");
    using watcher = value.watch();
    expect(await watcher.get()).toBe("LOUD");
  });

  test("are ASCII where every byte is", () => {
    const all = Uint8Array.from({ length: 128 }, (_, i) => i);
    expect(asciiOf(pack(all))).toBe(String.fromCharCode(...all));
    expect(asciiOf(pack(Uint8Array.of(0x80)))).toBeUndefined();
    expect(asciiOf(pack(new Uint8Array(2000)))).toBeUndefined();
    expect(asciiOf(undefined)).toBeUndefined();
  });
});
