/** What operators and time do to a store. */
import { base64, Refused, root } from "../proof/gateway.ts";
import { namespace, user } from "../proof/world.ts";
import { eventually, type Fault, nothing } from "./fault.ts";

export const storeFaults: readonly Fault[] = [
  {
    name: "compact",
    async inflict(world, random) {
      const before = world.history.revision;
      await world.writers.more(random.below(5));
      const at = Math.max(before, world.history.revision - random.pick([0, 0, 1, 5]));
      await world.compact(at);
      return {
        what: `what is before revision ${at}`,
        bit: () => eventually("the revision is gone", () => world.isCompacted(at - 1)),
        heal: nothing,
      };
    },
  },
  {
    name: "compact what a keyspace was cut off from",
    alone: true,
    async inflict(world, random) {
      const keyspace = random.below(3);
      const ways = world.members.map(({ clients }) => clients[keyspace]!);
      await Promise.all(ways.map((way) => way.cut()));
      const before = world.history.revision;
      await world.writers.more(3 + random.below(40));
      await world.oracle.knows(before + 1);
      const at = Math.max(before + 1, world.history.revision - random.pick([0, 0, 0, 2]));
      await world.compact(at);
      await world.writers.more(random.below(4));
      return {
        what: `keyspace ${keyspace}, before revision ${at}`,
        cutOff: [keyspace],
        bit: () => eventually("what the keyspace would resume from is gone", () => world.isCompacted(before)),
        heal: async () => void (await Promise.all(ways.map((way) => way.heal()))),
      };
    },
  },
  {
    name: "defragment",
    async inflict(world, random) {
      const at = random.below(3);
      const { gateway } = world.members[at]!;
      const count = (): Promise<number> =>
        gateway.metric("etcd_disk_backend_defrag_duration_seconds_count").catch(() => 0);
      const before = await count();
      await gateway.call("maintenance/defragment", {}, 10_000).catch(nothing);
      return {
        what: `member ${at}`,
        async bit() {
          // One that is dead or frozen by another fault cannot.
          if (before === 0 && (await count()) === 0) return;
          await eventually("it has", async () => (await count()) !== before);
        },
        heal: nothing,
      };
    },
  },
  {
    name: "move the leader",
    alone: true,
    async inflict(world, random) {
      const from = await world.leader();
      const to = (from + 1 + random.below(2)) % 3;
      await world.members[from]!.gateway.call("maintenance/transfer-leadership", { targetID: world.id(to) }, 10_000);
      return {
        what: `from member ${from} to member ${to}`,
        bit: () => eventually("another leads", async () => (await world.leader()) !== from),
        heal: nothing,
      };
    },
  },
  {
    name: "expire all tokens",
    alone: true,
    async inflict(world) {
      const { gateway } = world.members[await world.leader()]!;
      const token = await gateway.authenticate(user.username, user.password);
      const use = (): Promise<unknown> => gateway.callAs(token, "kv/range", { key: base64(namespace) });
      await use();
      for (const { name, password } of [{ name: user.username, password: user.password }, root]) {
        await gateway.call("auth/user/changepw", { name, password });
      }
      return {
        what: "of all users",
        bit: () =>
          eventually("a token from before is refused", () =>
            use().then(
              () => false,
              (error: unknown) => error instanceof Refused,
            ),
          ),
        heal: nothing,
      };
    },
  },
];
