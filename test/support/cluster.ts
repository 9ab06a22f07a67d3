/** A real etcd cluster for a test. Its members are {@link EtcdServer}s, to be killed, frozen and restarted one by one. */
import { type EtcdOptions, type EtcdServer, startMembers } from "./etcd.ts";

/** A running cluster; disposing of it disposes of all members. */
export interface Cluster extends AsyncDisposable {
  readonly members: readonly EtcdServer[];
  /** Where clients connect to, in the order of `members`. */
  readonly endpoints: readonly string[];
  /** The member that says that it leads; rejects when none does. One that was just cut off may say so too. */
  leader(): Promise<EtcdServer>;
}

/** Starts a cluster of `size` members and resolves when all of them serve. */
export async function startCluster(size: number, options?: EtcdOptions): Promise<Cluster> {
  const members = await startMembers(size, options);
  return {
    members,
    endpoints: members.map(({ endpoint }) => endpoint),
    leader: () => Promise.any(members.map(ifLeading)),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
    },
  };
}

async function ifLeading(member: EtcdServer): Promise<EtcdServer> {
  const { header, leader } = (await member.call("/v3/maintenance/status")) as {
    header: { member_id: string };
    leader?: string;
  };
  if (leader !== header.member_id) throw new Error(`${member.name} does not lead`);
  return member;
}
