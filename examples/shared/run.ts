/**
 * What the examples have in common: the store that `--store URL` names, an end by Ctrl-C, and a story.
 *
 * In a store of this process (`memory:`, unless another is given) nobody else can change anything: there an example tells a
 * story, makes the changes itself, and ends. In any other store it waits for those that others make, until Ctrl-C.
 */
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { distinctUntilChanged, type Keyspace, map, pipeTo } from "event-value";
import { openKeyspace } from "event-value/open";

export interface Example {
  readonly keyspace: Keyspace;
  /** Aborted by Ctrl-C, and when the story has ended. */
  readonly signal: AbortSignal;
  /** What else stands on the command line. */
  readonly args: readonly string[];
}

/** Says what comes next, lets it happen, and leaves some time to look at what comes of it. */
export type Step = (title: string, change?: () => unknown) => Promise<void>;

/** Runs `program` until Ctrl-C, or, where there is a story, until that has been told. Closes the keyspace then. */
export async function run(
  program: (example: Example) => Promise<void>,
  story: (example: Example, step: Step) => Promise<void>,
): Promise<void> {
  const { keyspace, args, isAlone } = await open();
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => stop.abort());
  const example = { keyspace, args, signal: stop.signal };
  const step: Step = async (title, change) => {
    console.log(`\n> ${title}`);
    await change?.();
    await delay(700, undefined, { signal: stop.signal });
  };
  const failures: unknown[] = [];
  /** Whichever of the two ends, the other has to. That it was aborted is no failure. */
  const toTheEnd = async (work: Promise<void>): Promise<void> => {
    await work.catch((error: unknown) => {
      if (!stop.signal.aborted || (error as Error).name !== "AbortError") failures.push(error);
    });
    stop.abort();
  };
  await Promise.all([toTheEnd(program(example)), isAlone && toTheEnd(story(example, step))]);
  await keyspace.close();
  for (const failure of failures) console.error(String(failure));
  process.exitCode = failures.length > 0 ? 1 : 0;
}

/** Opens the store. What is wrong with the command line is said in one line. */
async function open(): Promise<{ keyspace: Keyspace; args: readonly string[]; isAlone: boolean }> {
  try {
    const options = { store: { type: "string", default: "memory:" } } as const;
    const { values, positionals: args } = parseArgs({ options, allowPositionals: true });
    const keyspace = await openKeyspace(values.store);
    const isAlone = values.store.startsWith("memory:");
    if (!isAlone) tellStatus(keyspace, values.store);
    return { keyspace, args, isAlone };
  } catch (error) {
    console.error((error as Error).message);
    process.exit(2);
  }
}

/** Says whether the store answers, whenever that changes. */
function tellStatus(keyspace: Keyspace, store: string): void {
  const state = map(keyspace.status, (status) => {
    const why = "cause" in status && status.cause instanceof Error ? `: ${status.cause.message}` : "";
    return `(${store} is ${status.state}${why})`;
  });
  void pipeTo(distinctUntilChanged(state), (line) => console.log(line));
}
