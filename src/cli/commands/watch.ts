/** `event-value watch`: a live table on a terminal, one JSON object a line elsewhere. */
import { setTimeout as delay } from "node:timers/promises";
import { bytes } from "../../codec.ts";
import type { Keyspace, RangeSelector, RangeWatcher } from "../../keyspace.ts";
import type { WatchCommand } from "../args.ts";
import { listen, suspend } from "../keyboard.ts";
import { paintFor } from "../paint.ts";
import type { Program } from "../program.ts";
import { Screen } from "../screen.ts";
import { followStatus, statusNotes } from "../status-notes.ts";
import { openStore } from "../store.ts";
import { LiveTable } from "../table.ts";
import { changeLine, inPieces } from "../values.ts";

/** Ends only by an error, or with the program. */
export async function watch(program: Program, options: WatchCommand): Promise<void> {
  const keyspace = await openStore(program, options.store);
  const { key, prefix } = options;
  // A range also for a single key: its first batch tells that the key is absent.
  const range: RangeSelector = prefix ? key : { start: key, end: `${key}\0` };
  const watcher = keyspace.range(range, bytes).watch();
  const canMoveCursor = program.stdout.isTTY && program.env["TERM"] !== "dumb";
  if (options.json || !canMoveCursor) await writeLines(program, options, keyspace, watcher);
  else await showTable(program, options, keyspace, watcher);
}

/** The next batch is asked for when the reader has taken the last one: a slow reader gets what is newest by then. */
async function writeLines(
  program: Program,
  { base64 }: WatchCommand,
  keyspace: Keyspace,
  watcher: RangeWatcher<Uint8Array>,
): Promise<void> {
  const statuses = followStatus(keyspace, statusNotes(program));
  const changes = (async () => {
    for await (const batch of watcher.batches()) {
      const lines = batch.changes.map((change) => changeLine(change, base64));
      for (const piece of inPieces(lines)) await program.print(piece);
    }
  })();
  await Promise.race([changes, statuses]);
}

async function showTable(
  program: Program,
  { key, prefix, base64, store }: WatchCommand,
  keyspace: Keyspace,
  watcher: RangeWatcher<Uint8Array>,
): Promise<void> {
  const { stdin, stdout, env } = program;
  const screen = new Screen(stdout);
  const table = new LiveTable({ key, range: prefix, base64, endpoints: store.endpoints }, paintFor(env));
  /** Whether somebody else has the terminal. */
  let suspended = false;
  /** Whether the next SIGCONT belongs to a Ctrl-Z that was seen to. */
  let awaited = false;
  const draw = (): void => {
    if (!suspended) screen.draw(table.frame(screen.space, performance.now()));
  };
  const redraw = (): void => {
    suspended = false;
    screen.forget();
    draw();
  };
  program.atEnd(() => screen.close());
  // What is typed would be echoed into the table.
  if (stdin.isTTY) {
    listen(program, (character) => {
      if (character === "\x0c") redraw(); // Ctrl-L
      if (character !== "\x1a") return;
      suspended = awaited = true;
      screen.close();
      suspend(program, redraw);
    });
  }
  process.on("SIGCONT", () => {
    if (!awaited) setImmediate(redraw);
    awaited = false;
  });
  stdout.on("resize", draw);
  setInterval(draw, 1000);
  draw();

  const statuses = followStatus(keyspace, (status) => {
    table.status = status;
    draw();
  });
  const changes = (async () => {
    for await (const batch of watcher.batches()) {
      table.apply(batch, performance.now());
      draw();
      // Nobody reads faster: what changes several times until then is fetched once.
      await delay(frameMs);
    }
  })();
  await Promise.race([changes, statuses]);
}

const frameMs = 40;
