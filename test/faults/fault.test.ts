import { describe, expect, test } from "vitest";
import { eventually } from "./fault.ts";

describe("the proof that a fault bit", () => {
  test("is waited for", async () => {
    let asked = 0;
    await eventually("it holds", () => ++asked === 3);
    expect(asked).toBe(3);
  });

  test("is a failure where it does not come", async () => {
    await expect(eventually("members are refused", () => false, 20)).rejects.toThrow(
      "the fault did not bite: members are refused",
    );
  });

  test("is a failure where looking for it fails", async () => {
    await expect(eventually("it holds", () => Promise.reject(new Error("gone")))).rejects.toThrow("gone");
  });
});
