/**
 * Keeps deliveries from starving timers and I/O.
 *
 * A producer and a consumer that do nothing but `set` and `get` settle each other's promises for ever without the
 * event loop ever turning. So deliveries are counted: when a burst is used up, a macrotask is asked for; if another
 * burst is used up before it ran, deliveries are put off until it has. A delivery that is put off is not lost: its
 * watcher goes on waiting in its list, and the list is woken again.
 *
 * The count costs a decrement per delivery. A burst of 16,384 takes about 5 ms, a turn of the loop a few
 * microseconds.
 */
import { macrotask } from "./macrotask.ts";

/** What can be woken again later. */
export interface Wakeable {
  wake(): void;
}

const burst = 16_384;
let budget = burst;
let turning = false;
/** Those whose deliveries were put off until the loop has turned. */
let delayed = new Set<Wakeable>();

/** Whether one more delivery may be made now; if not, {@link delay} the list it would have been made from. */
export function admit(): boolean {
  return --budget > 0 || refill();
}

/** Wakes `list` when the loop has turned. */
export function delay(list: Wakeable): void {
  delayed.add(list);
}

function refill(): boolean {
  if (turning) {
    budget = 0;
    return false;
  }
  turning = true;
  budget = burst;
  macrotask(turn);
  return true;
}

function turn(): void {
  turning = false;
  budget = burst;
  const lists = delayed;
  delayed = new Set();
  for (const list of lists) list.wake();
}
