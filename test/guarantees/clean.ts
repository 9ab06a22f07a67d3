import { Broken, type Guarantee } from "./guarantee.ts";

/** K12: what is closed is gone. */
const clean: Guarantee = {
  name: "clean",
  promise: "K12 closing the keyspace leaves no timer, socket or listener, and the process exits",
};

/** @throws Broken where a process that closed its keyspaces did not just end */
export function checkEnd(ended: { readonly stderr: string; readonly code: number | null } | "late"): void {
  if (ended === "late") throw new Broken(clean, "the process does not end");
  const { stderr, code } = ended;
  if (code !== 0 || stderr !== "") throw new Broken(clean, `the process ended with ${code}: ${stderr}`);
}
