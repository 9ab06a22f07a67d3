/** Stores that begin again: restored from a backup, or replaced by another. */
import { randomUUID } from "node:crypto";
import type { World } from "../proof/world.ts";
import { eventually, type Fault, type Harm, nothing } from "./fault.ts";

/** Ends one life of the store and begins another, with the writers at rest and the history of the old one complete. */
async function reborn(world: World, change: () => void, begin: () => Promise<void>): Promise<Harm> {
  await world.writers.pause();
  const { revision } = await world.oracle.read();
  await world.oracle.knows(revision);
  await world.oracle.stop();
  await Promise.all(world.members.map(({ server }) => server.kill()));
  change();
  for (const { server } of world.members) server.launch();
  await world.healthy();
  await begin();
  const began = world.history.revision;
  return {
    what: `revision ${revision} to ${began}`,
    bit: () => eventually("revisions begin again", () => began < revision, 0),
    heal: nothing,
  };
}

export const lifeFaults: readonly Fault[] = [
  {
    name: "restore a backup",
    alone: true,
    async inflict(world, random) {
      // Frozen together, the members leave on disk what a failure of power would have.
      await Promise.all(world.members.map(({ server }) => server.freeze()));
      for (const { server } of world.members) server.backUp();
      for (const { server } of world.members) server.thaw();
      await world.healthy();
      await world.writers.more(10 + random.below(60));
      return reborn(
        world,
        () => {
          for (const { server } of world.members) server.restoreBackup();
        },
        () => world.oracle.begin(),
      );
    },
  },
  {
    name: "replace the cluster",
    alone: true,
    async inflict(world) {
      const token = randomUUID();
      return reborn(
        world,
        () => {
          for (const { server } of world.members) server.erase(token);
        },
        () => world.settle(),
      );
    },
  },
];
