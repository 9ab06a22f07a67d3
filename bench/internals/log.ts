import { ConflatingLog, type StoredKey } from "../../src/range/conflating-log.ts";
import { type Case, ours, type Question, type Scale } from "../harness/answer.ts";
import { compare, type Subject } from "../harness/compare.ts";

const bytes = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)] as const;

const question: Question = {
  title: "What do the parts of the log behind a range cost?",
  about:
    "Updates with so many cursors elsewhere, of which all must have been told what changed since; reading 100,000 keys at once, " +
    "one by one, and amid updates; updates over 1,000 keys with a cursor that follows; and the merge of a snapshot of " +
    "300,000 keys, into an empty log, again, and by steps as a feed makes it, of which the longest is told. Counted is " +
    "an update or a key; each must have come to the number of changes that there were.",
  async ask(scale) {
    const most = scale.quick ? 30_000 : 300_000;
    return {
      cases: [
        await compare(beside("an update, cursors at one place", false, false), scale),
        await compare(beside("an update, cursors each elsewhere", true, false), scale),
        await compare(beside("every other one a delete, cursors each elsewhere", true, true), scale),
        await compare(passes(scale.quick ? 10_000 : 100_000), scale),
        await compare(following(), scale),
        await compare(merges(most), scale),
        longestStep(most, scale),
      ],
    };
  },
};
export default question;

type Work = Parameters<typeof compare>[0];

function namesOf(keys: number): string[] {
  return Array.from({ length: keys }, (_, i) => `service/instance-${i}`);
}

function filled(names: readonly string[]): ConflatingLog {
  const log = new ConflatingLog();
  const stored = names.map((key, i) => ({ key, bytes: bytes[0], revision: i + 1, createRevision: i + 1 }));
  log.merge(stored, names.length, { rewound: false });
  return log;
}

/** Cursors that have read everything, all at one place or each after another update. */
function beside(name: string, scattered: boolean, deletes: boolean): Work {
  const names = namesOf(1_000);
  const subject = (count: number): Subject => {
    const log = filled(names);
    let { revision } = log;
    for (let i = 0; i < count; i++) {
      if (scattered) log.put(names[i % 1_000]!, bytes[i & 1]!, ++revision, 1);
      log.settle(revision);
      log.join().batch();
    }
    return {
      run(operations) {
        for (let i = 0; i < operations; i++) {
          const key = names[(i * 7) % 1_000]!;
          if (deletes && Math.floor(i / 1_000) % 2 === 0) log.delete(key, ++revision);
          else log.put(key, bytes[i & 1]!, ++revision, revision);
          log.settle(revision);
        }
      },
      outcome: () => log.revision === revision && log.join().batch().length === log.size,
    };
  };
  return {
    name,
    target: { atMost: 1.5, than: "beside 1" },
    expects: () => true,
    contenders: { [ours]: () => subject(10_000), "beside 100": () => subject(100), "beside 1": () => subject(1) },
  };
}

function passes(keys: number): Work {
  const names = namesOf(keys);
  const subject = (pass: (log: ConflatingLog) => number): Subject => {
    const log = filled(names);
    let read = 0;
    return {
      run(operations) {
        for (read = 0; operations > 0; operations--) read += pass(log);
      },
      outcome: () => read,
    };
  };
  const amid = (log: ConflatingLog): number => {
    const cursor = log.join();
    let { revision } = log;
    let read = 0;
    for (let i = 0; i < keys; i++) {
      if (cursor.next() !== undefined) read++;
      log.put(names[(i * 17) % keys]!, bytes[i & 1]!, ++revision, revision);
      log.settle(revision);
    }
    cursor.close();
    return read;
  };
  return {
    name: `a key of ${keys.toLocaleString("en")}`,
    parts: keys,
    expects: (operations) => operations * keys,
    contenders: {
      [ours]: () => subject((log) => log.join().batch().length),
      "one by one": () =>
        subject((log) => {
          const cursor = log.join();
          let read = 0;
          while (cursor.next() !== undefined) read++;
          return read;
        }),
      "one by one amid updates": () => subject(amid),
    },
  };
}

function following(): Work {
  const names = namesOf(1_000);
  const subject = (batches: boolean): Subject => {
    const log = filled(names);
    const cursor = log.join();
    cursor.batch();
    let { revision } = log;
    let read = 0;
    return {
      run(operations) {
        read = 0;
        for (let i = 1; i <= operations; i++) {
          revision++;
          log.put(names[revision % 1_000]!, bytes[revision & 1]!, revision, revision);
          log.settle(revision);
          if (!batches) read += Number(cursor.next()!.revision === revision);
          else if (i % 100 === 0 || i === operations) read += cursor.batch().length;
        }
      },
      outcome: () => read,
    };
  };
  return {
    name: "an update over 1,000 keys, each read",
    expects: (operations) => operations,
    contenders: { [ours]: () => subject(false), "a batch each 100": () => subject(true) },
  };
}

function snapshot(many: number): (StoredKey & { packed: string })[] {
  const packed = String.fromCharCode(...bytes[0]);
  return Array.from({ length: many }, (_, i) => {
    const revision = 1 + ((i * 7_919) % many);
    return { key: `service/instance-${i}`, bytes: bytes[0], packed, revision, createRevision: revision };
  });
}

/** As a feed merges: by pages, then in steps. Returns how long the longest took, in ms. */
function mergeInSteps(log: ConflatingLog, stored: ReturnType<typeof snapshot>): number {
  const many = stored.length;
  const merge = log.beginMerge({ rewound: false });
  const listed = stored.map(({ key, packed, revision, createRevision }) =>
    ConflatingLog.listed(key, packed, revision, createRevision),
  );
  for (let i = 0; i < many; i += 10_000) merge.add(listed.slice(i, i + 10_000));
  const steps = merge.commit(many);
  let longest = 0;
  for (let done: boolean | undefined = false; done !== true;) {
    const start = performance.now();
    ({ done } = steps.next());
    longest = Math.max(longest, performance.now() - start);
  }
  return longest;
}

function merges(many: number): Work {
  const stored = snapshot(many);
  const subject = (merge: (log: ConflatingLog) => void, into: () => ConflatingLog): Subject => {
    let log = into();
    return {
      run(operations) {
        for (; operations > 0; operations--) {
          log = into();
          merge(log);
        }
      },
      outcome: () => log.size,
    };
  };
  const whole = (log: ConflatingLog): void => log.merge(stored, many, { rewound: false });
  const same = new ConflatingLog();
  whole(same);
  return {
    name: `a key of a merge of ${many.toLocaleString("en")}`,
    parts: many,
    expects: () => many,
    contenders: {
      [ours]: () => subject(whole, () => new ConflatingLog()),
      "by pages and steps": () =>
        subject(
          (log) => void mergeInSteps(log, stored),
          () => new ConflatingLog(),
        ),
      "nothing changed": () => subject(whole, () => same),
    },
  };
}

function longestStep(many: number, { quick }: Scale): Case {
  const stored = snapshot(many);
  mergeInSteps(new ConflatingLog(), stored);
  const samples = Array.from({ length: quick ? 2 : 7 }, () => {
    const log = new ConflatingLog();
    const longest = mergeInSteps(log, stored);
    if (log.size !== many) throw new Error("the merge is not whole");
    return longest;
  });
  const name = `the longest step of a merge of ${many.toLocaleString("en")}`;
  return { name, unit: "ms", contenders: [{ name: ours, samples }] };
}
