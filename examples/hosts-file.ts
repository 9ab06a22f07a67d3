/**
 * A hosts file, kept up to date from a store. Shows `pipeTo`: a sink that is slow is given the newest when it is ready.
 *
 * `hosts/NAME` holds the address of a host. What others wrote gets into the file only if it is an address. Write a file
 * of your own from an etcd, and change it from another terminal:
 *
 *   export EVENT_VALUE_STORE=http://127.0.0.1:2379
 *   npm run example -- hosts-file ./hosts --store $EVENT_VALUE_STORE
 *   npx event-value set hosts/db 10.0.0.7
 */
import { mkdtempSync, rmSync } from "node:fs";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { distinctUntilChanged, map, pipeTo, text } from "event-value";
import { OwnFile } from "./shared/own-file.ts";
import { run } from "./shared/run.ts";

/** A value of which this throws is not in the map. */
function address(bytes: Uint8Array, key: string): string {
  const decoded = text.decode(bytes, key);
  if (!/^hosts\/[\w.-]+$/.test(key) || isIP(decoded) === 0) throw new TypeError("not the address of a host");
  return decoded;
}

await run(
  async ({ keyspace, signal, args: [path] }) => {
    const hosts = await keyspace.range("hosts/", address).live({ signal });
    // With the map the pipe ends, but not before the file is written that is being written.
    signal.addEventListener("abort", () => hosts.close());

    const folder = path === undefined ? mkdtempSync(join(tmpdir(), "hosts-file-")) : "";
    const file = new OwnFile(path ?? join(folder, "hosts"), "# Kept up to date by event-value.\n", "name another");
    // Where only something changed that does not get into the file, the text is the same as before.
    const content = distinctUntilChanged(map(hosts, () => format(hosts)));
    await pipeTo(content, async (wanted) => {
      const written = await file.write(wanted);
      console.log(`${file.path} ${written ? "written" : "is up to date"}\n${wanted.trimEnd()}`);
    });
    if (path === undefined) rmSync(folder, { recursive: true });
  },
  async ({ keyspace }, step) => {
    const hosts = keyspace.range("hosts/", text);
    await step("no host is known");
    await step("a host comes", () => hosts.set("hosts/db", "10.0.0.7"));
    await step("another one comes", () => hosts.set("hosts/web", "10.0.0.8"));
    await step("somebody writes what is no address: it does not get in", () =>
      hosts.set("hosts/bank.example", "10.0.0.66 db"),
    );
    await step("the database moves, ten times at once: the newest counts", async () => {
      for (let n = 1; n <= 10; n++) await hosts.set("hosts/db", `10.0.1.${n}`);
    });
    await step("a host goes", () => hosts.delete("hosts/web"));
  },
);

function format(hosts: ReadonlyMap<string, string>): string {
  return [...hosts].map(([key, ip]) => `${ip.padEnd(15)} ${key.slice("hosts/".length)}\n`).join("");
}
