/** What a question of the benchmark is answered with, and the figures that are made of it. */

/** How much is to be measured. */
export interface Scale {
  /** A minute, or a half more, for everything: enough to see whether something broke, not to tell tenths. */
  readonly quick: boolean;
}

/** A question: a module of this folder has it as its default export. */
export interface Question {
  /** As a reader would ask it. */
  readonly title: string;
  /** What the contenders do, what is counted, and how it is seen that they did the same. */
  readonly about: string;
  /** In how many processes it is asked, as the optimiser decides differently in each; 1 if left out. */
  readonly processes?: number;
  ask(scale: Scale): Promise<Answer>;
}

export interface Answer {
  readonly cases: readonly Case[];
  readonly plots?: readonly Plot[];
}

/** One thing to be done, by each contender. */
export interface Case {
  readonly name: string;
  readonly unit: string;
  readonly target?: Target;
  readonly contenders: readonly Contender[];
}

export interface Contender {
  readonly name: string;
  /** In the case's unit; less is better. */
  readonly samples: readonly number[];
}

/** What the contender named {@link ours} must reach: so much in the case's unit, or so many times what `than` takes. */
export interface Target {
  readonly atMost: number;
  readonly than?: string;
}

/** How a cost grows: written to `file` in docs/. Both axes are logarithmic. */
export interface Plot {
  readonly file: string;
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly series: readonly { readonly name: string; readonly points: readonly (readonly [x: number, y: number])[] }[];
}

export const ours = "event-value";

/** The middle of the samples, and between what nine tenths of them lie. */
export interface Figure {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export function figure(samples: readonly number[]): Figure {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number): number => {
    const place = share * (sorted.length - 1);
    const below = sorted[Math.floor(place)]!;
    return below + (sorted[Math.ceil(place)]! - below) * (place % 1);
  };
  return { median: at(0.5), low: at(0.05), high: at(0.95) };
}

/** Whether `case` reaches its target; undefined where it has none. */
export function reaches({ target, contenders }: Case): boolean | undefined {
  if (target === undefined) return undefined;
  const median = (name: string): number => figure(contenders.find((each) => each.name === name)!.samples).median;
  return median(ours) <= target.atMost * (target.than === undefined ? 1 : median(target.than));
}

/** The answers of several processes to one question, as one. */
export function pooled(answers: readonly Answer[]): Answer {
  const [first, ...others] = answers;
  if (first === undefined || others.length === 0) return first ?? { cases: [] };
  const cases = first.cases.map((each, i) => ({
    ...each,
    contenders: each.contenders.map(({ name }, j) => ({
      name,
      samples: answers.flatMap(({ cases }) => cases[i]!.contenders[j]!.samples),
    })),
  }));
  return { ...first, cases };
}
