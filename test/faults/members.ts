/** Members that die or stand still. */
import type { Random } from "../support/seed.ts";
import type { Member, World } from "../proof/world.ts";
import { eventually, type Fault, type Harm } from "./fault.ts";

/** A keyspace that has no other endpoint than this member's. */
function onlyEndpointOf(member: number): number[] {
  return member === 2 ? [2] : [];
}

async function kill(members: readonly Member[], what: string, cutOff: readonly number[]): Promise<Harm> {
  const pids = members.map(({ server }) => server.pid);
  await Promise.all(members.map(({ server }) => server.kill()));
  return {
    what,
    cutOff,
    bit: () => eventually("the processes are gone", () => members.every(({ server }) => server.pid === undefined)),
    heal() {
      for (const [i, { server }] of members.entries()) {
        server.launch();
        if (server.pid === pids[i]) throw new Error("the fault did not bite: the process is the same");
      }
    },
  };
}

async function freeze(members: readonly Member[], what: string, cutOff: readonly number[]): Promise<Harm> {
  await Promise.all(members.map(({ server }) => server.freeze()));
  return {
    what,
    cutOff,
    bit: () =>
      eventually("nobody answers", async () => {
        const answers = await Promise.all(
          members.map(({ gateway }) =>
            gateway.metric("process_open_fds").then(
              () => true,
              () => false,
            ),
          ),
        );
        return !answers.includes(true);
      }),
    heal() {
      for (const { server } of members) server.thaw();
    },
  };
}

function pick(world: World, random: Random): { member: Member; at: number } {
  const at = random.below(world.members.length);
  return { member: world.members[at]!, at };
}

/** The leader and one more. */
async function majority(world: World): Promise<Member[]> {
  const leader = await world.leader();
  return [world.members[leader]!, world.members[(leader + 1) % 3]!];
}

const everyKeyspace = [0, 1, 2];

export const memberFaults: readonly Fault[] = [
  {
    name: "kill a member",
    async inflict(world, random) {
      const { member, at } = pick(world, random);
      return kill([member], `member ${at}`, onlyEndpointOf(at));
    },
  },
  {
    name: "kill the leader",
    async inflict(world) {
      const at = await world.leader();
      return kill([world.members[at]!], `member ${at}`, onlyEndpointOf(at));
    },
  },
  {
    name: "kill all members",
    alone: true,
    inflict: (world) => kill(world.members, "all", everyKeyspace),
  },
  {
    name: "freeze a member",
    async inflict(world, random) {
      const { member, at } = pick(world, random);
      return freeze([member], `member ${at}`, onlyEndpointOf(at));
    },
  },
  {
    name: "freeze the leader",
    async inflict(world) {
      const at = await world.leader();
      return freeze([world.members[at]!], `member ${at}`, onlyEndpointOf(at));
    },
  },
  {
    name: "freeze a majority",
    alone: true,
    async inflict(world) {
      return freeze(await majority(world), "the leader and another", everyKeyspace);
    },
  },
];
