/** What the benchmark asks, in this order; by names that tell the file. */
import type { Question } from "./harness/answer.ts";

export const questions: Readonly<Record<string, () => Promise<{ default: Question }>>> = {
  "memory/set": () => import("./memory/set.ts"),
  "memory/round": () => import("./memory/round.ts"),
  "memory/wake": () => import("./memory/wake.ts"),
  "memory/ready-get": () => import("./memory/ready-get.ts"),
  "memory/for-await": () => import("./memory/for-await.ts"),
  "memory/footprint": () => import("./memory/footprint.ts"),
  "memory/watch-close": () => import("./memory/watch-close.ts"),
  "memory/lockstep": () => import("./memory/lockstep.ts"),
  "etcd/first-snapshot": () => import("./etcd/first-snapshot.ts"),
  "etcd/catch-up": () => import("./etcd/catch-up.ts"),
  "etcd/many-keys": () => import("./etcd/many-keys.ts"),
  "etcd/calls": () => import("./etcd/calls.ts"),
  "etcd/latency": () => import("./etcd/latency.ts"),
  "etcd/fan-out": () => import("./etcd/fan-out.ts"),
  "etcd/footprint": () => import("./etcd/footprint.ts"),
  "etcd/joiners": () => import("./etcd/joiners.ts"),
  "growth/watchers": () => import("./growth/watchers.ts"),
  "growth/keys": () => import("./growth/keys.ts"),
  "internals/log": () => import("./internals/log.ts"),
  "internals/decoders": () => import("./internals/decoders.ts"),
};
