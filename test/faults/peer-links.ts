/** Links between members that break. */
import type { Link } from "../support/link.ts";
import type { World } from "../proof/world.ts";
import { eventually, type Fault, type Harm } from "./fault.ts";
import { blackhole, healAll } from "./links.ts";

function cut(links: readonly Link[]): Pick<Harm, "bit" | "heal"> {
  const refused = links.map((link) => link.refused);
  for (const link of links) link.cut();
  return {
    bit: () => eventually("members are refused", () => links.every((link, i) => link.refused > refused[i]!)),
    heal: () => healAll(links),
  };
}

/** All links of a member. */
function linksOf(world: World, member: number): Link[] {
  return [0, 1, 2].filter((other) => other !== member).flatMap((other) => world.peerLinks(member, other));
}

/** A member without the others, which knows no leader after a while, and says so. */
async function isolated(world: World, member: number, harm: Pick<Harm, "bit" | "heal">): Promise<Harm> {
  return {
    what: `member ${member}`,
    cutOff: member === 2 ? [2] : [],
    async bit() {
      await harm.bit();
      const { server } = world.members[member]!;
      // One that has just been started does not even begin to serve without a leader.
      await eventually("it knows no leader", async () => !(await server.isHealthy(AbortSignal.timeout(1000))));
    },
    heal: () => harm.heal(),
  };
}

export const peerLinkFaults: readonly Fault[] = [
  {
    name: "cut a member off from the others",
    async inflict(world, random) {
      const member = random.below(3);
      return isolated(world, member, cut(linksOf(world, member)));
    },
  },
  {
    name: "cut the leader off from the others",
    async inflict(world) {
      const member = await world.leader();
      return isolated(world, member, cut(linksOf(world, member)));
    },
  },
  {
    name: "blackhole between a member and the others",
    alone: true,
    async inflict(world, random) {
      const member = random.below(3);
      const leader = await world.leader();
      return {
        what: `member ${member}${member === leader ? ", which leads" : ""}`,
        cutOff: member === 2 ? [2] : [],
        ...blackhole(linksOf(world, member)),
      };
    },
  },
  {
    name: "cut the link between two members",
    async inflict(world, random) {
      const one = random.below(3);
      const other = (one + 1) % 3;
      return { what: `members ${one} and ${other}`, ...cut(world.peerLinks(one, other)) };
    },
  },
  {
    name: "cut the link from one member to another",
    async inflict(world, random) {
      const from = random.below(3);
      const to = (from + 1 + random.below(2)) % 3;
      return { what: `from member ${from} to member ${to}`, ...cut([world.peerLink(from, to)]) };
    },
  },
];
