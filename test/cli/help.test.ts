import { expect, test } from "vitest";
import { commandNames } from "../../src/cli/args.ts";
import { exitCodes } from "../../src/cli/exit.ts";
import { helpOf } from "../../src/cli/help.ts";

const everywhere = ["--store", "--namespace", "--user", "--cacert", "--cert", "--key", "--server-name"];
const own = {
  watch: ["--json", "--prefix", "--base64"],
  get: ["--json", "--prefix", "--base64", "--timeout"],
  set: ["--json", "--base64", "--timeout", "--file"],
  delete: ["--json", "--timeout"],
  run: ["--when", "--equals", "--grace"],
  lease: ["--ttl", "--put", "--grace", "--timeout"],
};

test.each(commandNames)("the help of %s tells of all its options and of no other", (command) => {
  const told = new Set(
    helpOf(command)
      .match(/^ {2}--[\w-]+/gm)
      ?.map((option) => option.trim()),
  );
  expect([...told].sort()).toEqual([...everywhere, ...own[command]].sort());
});

test.each([undefined, ...commandNames])(
  "the help of %s tells of variables and exit codes, in lines of at most 80",
  (topic) => {
    const help = helpOf(topic);
    for (const name of ["EVENT_VALUE_STORE", "EVENT_VALUE_PASSWORD", "NO_COLOR"]) expect(help).toContain(name);
    for (const code of [...Object.values(exitCodes), 130]) expect(help).toMatch(new RegExp(`^  ${code} +\\w`, "m"));
    expect(help).toContain("Examples:\n  ");
    expect(help.endsWith("\n") && !help.endsWith("\n\n")).toBe(true);
    for (const line of help.split("\n")) expect(line.length, line).toBeLessThanOrEqual(80);
  },
);
