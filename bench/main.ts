/**
 * Asks the questions, each in processes of its own, so that neither the heap nor the optimiser carries over; prints a
 * table for each as it is answered.
 */
import { fork } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Answer, pooled, type Question, reaches } from "./harness/answer.ts";
import { plot } from "./harness/plot.ts";
import { writeReport } from "./harness/report.ts";
import { table } from "./harness/table.ts";
import { questions } from "./questions.ts";

export interface BenchOptions {
  readonly quick: boolean;
  /** Only questions whose names contain this. */
  readonly only: string;
  readonly list: boolean;
  /** Whether the results are put into docs/. */
  readonly write: boolean;
}

/** A question with its answer. */
export interface Asked {
  readonly question: Question;
  readonly answer: Answer;
}

/** Resolves with the exit code: 1 where a question could not be answered, or nothing was asked. */
export async function bench({ quick, only, list, write }: BenchOptions): Promise<number> {
  const names = Object.keys(questions).filter((name) => name.includes(only));
  if (names.length === 0) {
    console.error(`no question has ${JSON.stringify(only)} in its name: npm run bench -- --list`);
    return 1;
  }
  if (list) {
    for (const name of names) console.log(`${name.padEnd(24)}${(await load(name)).title}`);
    return 0;
  }
  const asked: Asked[] = [];
  let failed = 0;
  for (const [i, name] of names.entries()) {
    const question = await load(name);
    console.log(`\n${name} (${i + 1} of ${names.length}): ${question.title}\n`);
    try {
      const answers: Answer[] = [];
      for (let n = 0; n < (quick ? 1 : (question.processes ?? 1)); n++) answers.push(await ask(name, quick));
      const answer = pooled(answers);
      console.log(table(answer.cases));
      asked.push({ question, answer });
    } catch (error) {
      failed++;
      console.error(`${name} was not answered:`, error);
    }
  }
  const targets = asked.flatMap(({ answer }) => answer.cases.map(reaches).filter((each) => each !== undefined));
  const missed = targets.filter((each) => !each).length;
  console.log(`\n${targets.length - missed} of ${targets.length} targets reached${quick ? ", by a quick look" : ""}`);
  if (write && failed === 0) {
    writeReport(asked);
    for (const each of asked.flatMap(({ answer }) => answer.plots ?? []))
      writeFileSync(new URL(`../docs/${each.file}`, import.meta.url), plot(each));
  }
  return failed > 0 ? 1 : 0;
}

async function load(name: string): Promise<Question> {
  return (await questions[name]!()).default;
}

function ask(name: string, quick: boolean): Promise<Answer> {
  const child = fork(fileURLToPath(new URL("harness/ask.mjs", import.meta.url)), [name, String(quick)], {
    // V8 throws away what was compiled of functions that did not run during some collections: those whose turn it is not.
    execArgv: ["--expose-gc", "--no-flush-bytecode", "--no-warnings"],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    serialization: "advanced",
  });
  return new Promise((resolve, reject) => {
    let answer: Answer | undefined;
    child.on("message", (message: Answer) => (answer = message));
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (code === 0 && answer !== undefined) resolve(answer);
      else reject(new Error(`its process ended with ${signal ?? `code ${code}`}`));
    });
  });
}
