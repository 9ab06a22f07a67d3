/**
 * A job that one of several workers does, while a switch is on. Shows `election`, `fence` and `runWhile`.
 *
 * Whoever is elected makes a report again and again, as long as `report/enabled` says so. Each report is written in a
 * transaction that the store refuses once somebody else leads, so that two never mix, however late one of them is. In
 * an etcd, one process for each worker:
 *
 *   export EVENT_VALUE_STORE=http://127.0.0.1:2379
 *   npm run example -- leader-job ann --store $EVENT_VALUE_STORE
 *   npm run example -- leader-job ben --store $EVENT_VALUE_STORE
 *   npx event-value set report/enabled false
 */
import { setInterval } from "node:timers/promises";
import { isEventValueError, json, type Keyspace, type Leadership, put, runWhile, text } from "event-value";
import * as z from "zod";
import { run } from "./shared/run.ts";

const enabledCodec = json(z.boolean());
const reportCodec = json<{ by: string; number: number }>();

/** Campaigns and leads, again and again, until `signal` is aborted. */
async function work(keyspace: Keyspace, name: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await lead(keyspace, name, signal);
    } catch (error) {
      if (!signal.aborted && !isPassing(error)) throw error;
    }
  }
}

/** Whether this is the store that could not be reached in time, or the fence: somebody else may lead by now. */
function isPassing(error: unknown): boolean {
  const codes = ["EV_LEASE_NOT_FOUND", "EV_CONFLICT", "EV_UNAVAILABLE"] as const;
  return codes.some((code) => isEventValueError(error, code));
}

async function lead(keyspace: Keyspace, name: string, signal: AbortSignal): Promise<void> {
  await using leadership = await keyspace.election("report/leader").campaign(name, { ttlMs: 2000, signal });
  console.log(`${name} leads`);
  try {
    await runWhile(
      keyspace.value("report/enabled", enabledCodec, { default: true }),
      (on) => on,
      (_, { signal: paused }) => makeReports(keyspace, name, leadership, paused),
      { signal: AbortSignal.any([signal, leadership.lost]) },
    );
  } finally {
    console.log(`${name} leads no more`);
  }
}

/** Makes one report after the other until `signal` is aborted. */
async function makeReports(
  keyspace: Keyspace,
  name: string,
  { fence }: Leadership,
  signal: AbortSignal,
): Promise<void> {
  const report = keyspace.value("report/newest", reportCodec);
  console.log(`${name} begins`);
  try {
    for await (const _ of setInterval(200, undefined, { signal })) {
      const number = ((await report.read({ signal }))?.value.number ?? 0) + 1;
      await keyspace.transaction([fence, put(report, { by: name, number })], { signal });
      console.log(`${name} made report ${number}`);
    }
  } finally {
    console.log(`${name} stops`);
  }
}

await run(
  async ({ keyspace, signal, args }) => {
    const names = args.length > 0 ? args : ["ann", "ben", "cem"];
    await Promise.all(names.map((name) => work(keyspace, name, signal)));
  },
  async ({ keyspace }, step) => {
    const enabled = keyspace.value("report/enabled", enabledCodec);
    await step("three workers campaign, one of them leads");
    await step("the job is switched off", () => enabled.set(false));
    await step("and on again", () => enabled.set(true));
    await step("the leader is deposed: its key is deleted. The next goes on where it was", async () => {
      const candidates = keyspace.range("report/leader/", text);
      const [leader] = (await candidates.read()).changes; // in the order of their revisions
      if (leader !== undefined) await candidates.delete(leader.key);
    });
  },
);
