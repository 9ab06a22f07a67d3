/**
 * A job that one of several workers does, while a switch is on. Shows `lead`, `fence` and `runWhile`.
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
import { isEventValueError, json, type Keyspace, lead, type Leadership, put, runWhile, text } from "event-value";
import * as z from "zod";
import { run } from "./shared/run.ts";

const enabledCodec = json(z.boolean());
const reportCodec = json<{ by: string; number: number }>();

/** Makes reports while the switch is on, until the leadership is lost or all ends: `signal` is aborted then. */
async function work(keyspace: Keyspace, name: string, leadership: Leadership, signal: AbortSignal): Promise<void> {
  console.log(`${name} leads`);
  try {
    await runWhile(
      keyspace.value("report/enabled", enabledCodec, { default: true }),
      (on) => on,
      (_, { signal: paused }) => makeReports(keyspace, name, leadership, paused),
      { signal },
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
      try {
        await keyspace.transaction([fence, put(report, { by: name, number })], { signal });
        console.log(`${name} made report ${number}`);
      } catch (error) {
        // The answer was lost: the next report goes on from what is there.
        if (!isEventValueError(error, "EV_UNAVAILABLE")) throw error;
      }
    }
  } finally {
    console.log(`${name} stops`);
  }
}

await run(
  async ({ keyspace, signal, args }) => {
    const names = args.length > 0 ? args : ["ann", "ben", "cem"];
    const campaigns = names.map((name) =>
      lead(
        keyspace.election("report/leader"),
        name,
        (leadership, { signal: over }) => work(keyspace, name, leadership, over),
        { ttlMs: 2000, signal },
      ),
    );
    await Promise.all(campaigns);
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
