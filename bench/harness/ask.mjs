/** The process that answers one question: its name and whether to be quick are the arguments. */
import { argv, exit } from "node:process";
import { register } from "../../scripts/typescript.mjs";

register();
const { questions } = await import("../questions.ts");
const [name, quick] = argv.slice(2);
const { default: question } = await questions[name]();
const answer = await question.ask({ quick: quick === "true" });
process.send(answer, () => exit(0));
