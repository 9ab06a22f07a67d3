/** The process of one contender: the file that has it, its name and its job are the arguments. */
import { argv, cpuUsage, exit, memoryUsage } from "node:process";
import { pathToFileURL } from "node:url";

const [file, name, job] = argv.slice(2);
const { contenders } = await import(pathToFileURL(file));
const begin = await memory();
const prepared = await contenders[name](JSON.parse(job));
process.once("message", () => void work());
process.send("ready");

async function work() {
  globalThis.gc();
  process.send("begun");
  const cpu = cpuUsage();
  const start = performance.now();
  await prepared.run();
  const time = performance.now() - start;
  const { user, system } = cpuUsage(cpu);
  const held = (await memory()) - begin;
  const figures = { cpu: [(user + system) / 1000], time: [time], memory: [held], ...(await prepared.figures?.()) };
  const outcome = await prepared.outcome();
  process.send({ outcome, figures }, () => exit(0));
}

/** Bytes that are held, on the heap and outside, when what is being put away is gone. */
async function memory() {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    globalThis.gc();
  }
  const { heapUsed, external } = memoryUsage();
  return heapUsed + external;
}
