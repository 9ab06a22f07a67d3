import { ConflatingLog, type Cursor } from "../../src/range/conflating-log.ts";
import { type Case, figure, ours, type Plot, type Question } from "../harness/answer.ts";
import { compare, type Subject } from "../harness/compare.ts";
import { sumTo } from "../memory/peers/state.ts";

/** Prime to all powers of ten, so that every key has its turn, and none is beside the one before. */
const stride = 7_919;
const bytes = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];

const question: Question = {
  title: "How does the cost of an update grow with the keys of the range?",
  about:
    "A key of a range of so many is put, here and there; counted is one update of the log behind the range, with a watcher that " +
    "has been told all before: it is left alone, and must then be given each key that has changed; or it takes each change at " +
    "once, and must be given each. Beside it a plain Map of keys and bytes is set, which nobody watches: what the memory of " +
    "the machine costs.",
  async ask(scale) {
    const counts = scale.quick ? [100, 10_000] : [100, 1_000, 10_000, 100_000, 1_000_000];
    const cases: Case[] = [];
    const series: { name: string; points: [number, number][] }[] = [];
    for (const count of counts) {
      const names = Array.from({ length: count }, (_, i) => `service/instance-${i}`);
      const changed = (operations: number): number => Math.min(operations, count);
      const update = await compare(
        {
          name: `an update, ${count.toLocaleString("en")} keys`,
          expects: changed,
          contenders: { [ours]: () => updating(names), "a Map": () => map(names) },
        },
        scale,
      );
      const delivered = await compare(
        {
          name: `an update and its delivery, ${count.toLocaleString("en")} keys`,
          expects: sumTo,
          contenders: { [ours]: () => delivering(names) },
        },
        scale,
      );
      cases.push(update, delivered);
      [...update.contenders, ...delivered.contenders].forEach(({ samples }, i) => {
        series[i] ??= { name: ["an update", "a plain Map's set", "an update and its delivery"][i]!, points: [] };
        series[i].points.push([count, figure(samples).median]);
      });
    }
    const plot: Plot = {
      file: "growth-keys.svg",
      title: "An update of a range",
      x: "keys in the range",
      y: "hops an update",
      series,
    };
    return { cases, plots: [plot] };
  },
};
export default question;

/** A log with these keys, and a cursor that was told of all of them. */
class Filled {
  readonly log = new ConflatingLog();
  readonly cursor: Cursor;
  readonly #names: readonly string[];
  #puts = 0;
  revision: number;

  constructor(names: readonly string[]) {
    this.#names = names;
    const keys = names.map((key, i) => ({ key, bytes: bytes[1]!, revision: i + 1, createRevision: 1 }));
    this.revision = names.length;
    this.log.merge(keys, this.revision, { rewound: false });
    this.cursor = this.log.join();
    this.cursor.batch();
  }

  /** Puts a key, with other bytes than it has. */
  put(): void {
    const i = this.#puts++;
    const key = this.#names[(i * stride) % this.#names.length]!;
    this.log.put(key, bytes[Math.floor(i / this.#names.length) & 1]!, ++this.revision, 1);
    this.log.settle(this.revision);
  }
}

function updating(names: readonly string[]): Subject {
  const filled = new Filled(names);
  return {
    run(operations) {
      for (let i = 0; i < operations; i++) filled.put();
    },
    outcome: () => filled.cursor.batch().length,
  };
}

function delivering(names: readonly string[]): Subject {
  const filled = new Filled(names);
  let sum = 0;
  return {
    run(operations) {
      const began = filled.revision;
      sum = 0;
      for (let i = 0; i < operations; i++) {
        filled.put();
        sum = (sum + filled.cursor.next()!.revision - began) | 0;
      }
    },
    outcome: () => sum,
  };
}

function map(names: readonly string[]): Subject {
  const state = new Map<string, Uint8Array>(names.map((name) => [name, bytes[1]!]));
  let puts = 0;
  let began = 0;
  return {
    run(operations) {
      began = puts;
      for (let n = 0; n < operations; n++) {
        const i = puts++;
        state.set(names[(i * stride) % names.length]!, bytes[Math.floor(i / names.length) & 1]!);
      }
    },
    outcome() {
      let changed = 0;
      for (let i = Math.max(began, puts - names.length); i < puts; i++) {
        const is = state.get(names[(i * stride) % names.length]!);
        if (is === bytes[Math.floor(i / names.length) & 1]) changed++;
      }
      return changed;
    },
  };
}
