/**
 * What the decoders written by hand cost beside the generated ones: `npm run build && node bench/decoders.mjs`.
 *
 * The generated ones leave keys and values as views of the response, so they are measured with what is needed to keep
 * those: the key as text, a copy of the value. Time is this process's own CPU time in user mode, so that what else
 * the machine does shows less.
 */
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { decodeRange, decodeWatch } from "../dist/etcd/proto/hot-decoders.js";

const rounds = 9;
/** What was decoded last; printed at the end, so that decoding cannot be left out. */
let consumed;

const { RangeResponse, WatchResponse } = await generated();
const header = {
  clusterId: "14841639068965178418",
  memberId: "10276657743932975437",
  revision: 123_456_789,
  raftTerm: 5,
};

console.log(`${cpus()[0]?.model.trim()}, Node ${process.version}; ns a record, median of ${rounds} (least to most)`);
for (const bytes of [0, 20, 100, 1000]) compare(`range, 1,000 values of ${bytes} bytes`, range(1000, bytes), 300);
for (const bytes of [0, 100]) compare(`watch, 1 event of ${bytes} bytes`, watch(1, bytes), 100_000);
compare("watch, 100 events of 100 bytes", watch(100, 100), 3000);
console.log(`(${JSON.stringify(consumed).length} characters decoded last)`);

function range(records, valueBytes) {
  const kvs = Array.from({ length: records }, (_, i) => keyValue(i, valueBytes));
  const encoded = RangeResponse.encode({ header, kvs, more: true, count: 5000 }).finish();
  return { encoded, records, hand: decodeRange, made: (bytes) => RangeResponse.decode(bytes).kvs.map(kept) };
}

function watch(records, valueBytes) {
  const events = Array.from({ length: records }, (_, i) => ({ type: 0, kv: keyValue(i, valueBytes) }));
  const flags = { created: false, canceled: false, compactRevision: 0, cancelReason: "", fragment: false };
  const encoded = WatchResponse.encode({ header, watchId: 3, ...flags, events }).finish();
  return {
    encoded,
    records,
    hand: decodeWatch,
    made: (bytes) => WatchResponse.decode(bytes).events.map(({ type, kv }) => ({ type, ...kept(kv) })),
  };
}

/** A record that does not hold on to the response. */
function kept({ key, value, createRevision, modRevision, version, lease }) {
  const text = Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString();
  return { key: text, value: new Uint8Array(value), createRevision, modRevision, version, lease };
}

function keyValue(i, valueBytes) {
  return {
    key: Buffer.from(`/app/config/service-${String(i).padStart(8, "0")}/item`),
    value: Buffer.alloc(valueBytes, 120),
    createRevision: 1_000_000 + i,
    modRevision: 2_000_000 + i,
    version: 3,
    lease: "0",
  };
}

function compare(what, { encoded, records, hand, made }, times) {
  const bytes = Buffer.from(encoded);
  const byHand = measure(() => hand(bytes), times, records);
  const generatedCode = measure(() => made(bytes), times, records);
  const ratio = (generatedCode.ns / byHand.ns).toFixed(1);
  console.log(`${what.padEnd(36)} by hand ${text(byHand)}   generated ${text(generatedCode)}   ${ratio} x`);
}

function measure(decode, times, records) {
  const once = () => {
    const start = process.cpuUsage().user;
    for (let i = 0; i < times; i++) consumed = decode();
    return ((process.cpuUsage().user - start) * 1000) / times / records;
  };
  once();
  const ns = Array.from({ length: rounds }, once).sort((a, b) => a - b);
  return { ns: ns[rounds >> 1], least: ns[0], most: ns[rounds - 1] };
}

function text({ ns, least, most }) {
  return `${ns.toFixed(0).padStart(5)} (${least.toFixed(0)} to ${most.toFixed(0)})`.padEnd(20);
}

/** The generated code in both directions, which the package does not contain. */
async function generated() {
  const entry = fileURLToPath(new URL("../test/support/generated/etcd.ts", import.meta.url));
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}
