import { ConflatingLog } from "../../src/range/conflating-log.ts";
import { type Case, figure, ours, type Plot, type Question } from "../harness/answer.ts";
import { compare, type Subject } from "../harness/compare.ts";
import { emitter } from "../memory/peers/emitter.ts";
import { eventValue } from "../memory/peers/event-value.ts";
import { behaviorSubject } from "../memory/peers/rxjs.ts";
import { copyOf, type State, watchers } from "../memory/peers/state.ts";

const range = `${ours}, a range`;

const question: Question = {
  title: "How does the cost of an update grow with the watchers that do not wait?",
  about:
    "A value is set, or a key of a range of 1,000 is put, beside so many watchers that do not wait; counted is one update. " +
    "Of a range it is the log behind it, on which a watcher is a position. RxJS and EventEmitter, which call each of them, stop " +
    "at 10,000. Then each watcher must have the newest value.",
  async ask(scale) {
    const counts = scale.quick ? [1, 1_000] : [1, 10, 100, 1_000, 10_000, 100_000];
    const cases: Case[] = [];
    for (const count of counts) {
      const work = {
        name: `${count.toLocaleString("en")} idle ${count === 1 ? "watcher" : "watchers"}`,
        expects: (operations: number) => operations * count,
        contenders: {
          [ours]: () => setting(eventValue, count),
          [range]: () => putting(count),
          ...(count <= 10_000 && {
            "rxjs BehaviorSubject": () => setting(behaviorSubject, count),
            "EventEmitter, slots": () => setting(emitter, count),
          }),
        },
      };
      cases.push(await compare(work, scale));
    }
    const series = cases[0]!.contenders.map(({ name }, i) => ({
      name: name === ours ? `${ours}, a value` : name,
      points: counts.flatMap((count, j): [number, number][] => {
        const contender = cases[j]!.contenders[i];
        return contender === undefined ? [] : [[count, figure(contender.samples).median]];
      }),
    }));
    const plot: Plot = {
      file: "growth-watchers.svg",
      title: "An update beside watchers that do not wait",
      x: "watchers",
      y: "hops an update",
      series,
    };
    return { cases, plots: [plot] };
  },
};
export default question;

function sets(state: State, operations: number): void {
  for (let i = 1; i <= operations; i++) state.set(i);
}

function setting(make: () => State, count: number): Subject {
  const state = make();
  const idle = watchers(state, count);
  const loop = copyOf(sets);
  return {
    run: (operations) => loop(state, operations),
    async outcome() {
      let sum = 0;
      for (const watcher of idle) sum += await watcher.get();
      return sum;
    },
  };
}

function putting(count: number): Subject {
  const keys = Array.from({ length: 1_000 }, (_, i) => `service/instance-${i}`);
  const bytes = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  const log = new ConflatingLog();
  let revision = 0;
  const cursors = Array.from({ length: count }, () => log.join());
  let began = 0;
  return {
    run(operations) {
      began = revision;
      for (let i = 1; i <= operations; i++) {
        revision++;
        log.put(keys[revision % 1_000]!, bytes[Math.floor(revision / 1_000) & 1]!, revision, revision);
        log.settle(revision);
      }
    },
    outcome() {
      let sum = 0;
      for (const cursor of cursors) sum += cursor.batch().at(-1)!.revision - began;
      return sum;
    },
  };
}
