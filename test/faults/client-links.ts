/** Links between keyspaces and members that break. */
import { setTimeout as delay } from "node:timers/promises";
import type { Proxy } from "../support/proxy.ts";
import type { Random } from "../support/seed.ts";
import { keyspaces, type World } from "../proof/world.ts";
import { eventually, type Fault, type Harm, nothing } from "./fault.ts";
import { blackhole, healAll } from "./links.ts";

/** The ways of a keyspace to each member. */
function waysOf(world: World, keyspace: number): Proxy[] {
  return world.members.map(({ clients }) => clients[keyspace]!);
}

/** The ways that a keyspace goes just now; waits until there are some. */
async function usedBy(world: World, keyspace: number): Promise<Proxy[]> {
  const used = (): Proxy[] => waysOf(world, keyspace).filter(({ connections }) => connections > 0);
  await eventually(`keyspace ${keyspace} is connected`, () => used().length > 0, 30_000);
  return used();
}

async function cut(ways: readonly Proxy[]): Promise<Pick<Harm, "bit" | "heal">> {
  if (!ways.some(({ connections }) => connections > 0)) throw new Error("the fault did not bite: nobody is connected");
  await Promise.all(ways.map((way) => way.cut()));
  return {
    bit: () => eventually("all connections are gone", () => ways.every(({ connections }) => connections === 0)),
    heal: () => healAll(ways),
  };
}

function pick(random: Random): number {
  return random.below(keyspaces);
}

export const clientLinkFaults: readonly Fault[] = [
  {
    name: "cut a keyspace off from its member",
    async inflict(world, random) {
      const keyspace = pick(random);
      return { what: `keyspace ${keyspace}`, ...(await cut(await usedBy(world, keyspace))) };
    },
  },
  {
    name: "cut a keyspace off",
    async inflict(world, random) {
      const keyspace = pick(random);
      await usedBy(world, keyspace);
      return { what: `keyspace ${keyspace}`, cutOff: [keyspace], ...(await cut(waysOf(world, keyspace))) };
    },
  },
  {
    name: "cut a keyspace off again and again",
    async inflict(world, random) {
      const keyspace = pick(random);
      const ways = waysOf(world, keyspace);
      let bitten = 0;
      for (let i = 0; i < 8; i++) {
        if (ways.some(({ connections }) => connections > 0)) bitten++;
        await Promise.all(ways.map((way) => way.cut()));
        await delay(random.below(20));
        await healAll(ways);
        await delay(random.below(400));
      }
      return {
        what: `keyspace ${keyspace}, ${bitten} times`,
        bit: () => eventually("it was connected at least twice", () => bitten >= 2, 0),
        heal: () => healAll(ways),
      };
    },
  },
  {
    name: "blackhole between a keyspace and its member",
    async inflict(world, random) {
      const keyspace = pick(random);
      return { what: `keyspace ${keyspace}`, ...blackhole(await usedBy(world, keyspace)) };
    },
  },
  {
    name: "blackhole between a keyspace and all members",
    async inflict(world, random) {
      const keyspace = pick(random);
      await usedBy(world, keyspace);
      return { what: `keyspace ${keyspace}`, cutOff: [keyspace], ...blackhole(waysOf(world, keyspace)) };
    },
  },
  {
    name: "write more than fits a message while a keyspace is cut off",
    alone: true,
    async inflict(world, random) {
      const keyspace = pick(random);
      await usedBy(world, keyspace);
      const harm = await cut(waysOf(world, keyspace));
      await harm.bit();
      const before = world.history.revision;
      // Messages have 64 kB here, and the 512 kB that etcd adds to them.
      const bytes = 3 * (64 + 512) * 1024;
      await world.writers.flood(bytes, random);
      return {
        what: `keyspace ${keyspace}, ${bytes} bytes`,
        cutOff: [keyspace],
        bit: () => eventually("it was written", () => world.history.revision >= before + bytes / 48_000),
        heal: () => harm.heal(),
      };
    },
  },
  {
    name: "slow down the ways of a keyspace",
    async inflict(world, random) {
      const keyspace = pick(random);
      const delayMs = random.pick([20, 100, 400]);
      const ways = waysOf(world, keyspace);
      for (const way of ways) way.slow(delayMs);
      return {
        what: `keyspace ${keyspace}, by ${delayMs} ms`,
        bit: () =>
          eventually("an answer takes its time", async () => {
            const began = performance.now();
            await fetch(`${random.pick(ways).endpoint}/version`, { headers: { connection: "close" } }).catch(nothing);
            return performance.now() - began >= 2 * delayMs - 1;
          }),
        heal: () => {
          for (const way of ways) way.slow(0);
        },
      };
    },
  },
  {
    name: "leave a keyspace with a member that lags",
    alone: true,
    async inflict(world, random) {
      const keyspace = random.below(2);
      const leader = await world.leader();
      const lagging = (leader + 1 + random.below(2)) % 3;
      const { server, gateway, clients } = world.members[lagging]!;
      const before = Number((await gateway.status()).header.revision);
      await server.freeze();
      await world.writers.more(10 + random.below(30));
      const others = world.members.filter((_, at) => at !== lagging).map((member) => member.clients[keyspace]!);
      await Promise.all(others.map((way) => way.cut()));
      // It goes on with what it knew when it stood still, and a keyspace that has nobody else comes to it.
      server.thaw();
      return {
        what: `keyspace ${keyspace} with member ${lagging}`,
        async bit() {
          await eventually("the keyspace comes to it", () => clients[keyspace]!.connections > 0);
          await eventually("it had lagged", () => world.history.revision > before);
        },
        heal: () => healAll(others),
      };
    },
  },
];
