#!/usr/bin/env node
/** `event-value`, as a process. */
import { Program } from "./program.ts";
import { run } from "./run.ts";

const program = new Program();
void run(program, process.argv.slice(2)).then((code) => program.exit(code));
