/** Compiles and runs the process that watches, and hands on what it records. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { mutating } from "../mutations/esbuild.ts";
import type { Command, Recorded, Subject } from "./recording.ts";

export class SubjectProcess implements Disposable {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #folder: string;
  #stderr = "";
  /** Resolves with what the process left on stderr, and its exit code. */
  readonly ended: Promise<{ readonly stderr: string; readonly code: number | null }>;

  private constructor(folder: string, subject: Subject, onRecord: (recorded: Recorded) => void) {
    this.#folder = folder;
    this.#process = spawn(process.execPath, ["--expose-gc", join(folder, "subject.mjs"), JSON.stringify(subject)], {
      stdio: "pipe",
    });
    this.#process.stdin.on("error", () => {});
    this.#process.stderr.setEncoding("utf8").on("data", (part: string) => (this.#stderr += part));
    const lines = createInterface({ input: this.#process.stdout, crlfDelay: Infinity });
    lines.on("line", (line) => onRecord(JSON.parse(line) as Recorded));
    this.ended = Promise.all([once(this.#process, "exit"), once(lines, "close")]).then(([[code]]) => ({
      stderr: this.#stderr,
      code: code as number | null,
    }));
  }

  /** Starts it with the library as it is, or with one of the mutations made. */
  static async start(
    subject: Subject,
    onRecord: (recorded: Recorded) => void,
    mutation?: string,
  ): Promise<SubjectProcess> {
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL("subject.ts", import.meta.url))],
      bundle: true,
      write: false,
      format: "esm",
      platform: "node",
      target: "node20",
      sourcemap: "inline",
      banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
      logLevel: "silent",
      plugins: [mutating(mutation)],
    });
    const folder = mkdtempSync(join(tmpdir(), "event-value-subject-"));
    writeFileSync(join(folder, "subject.mjs"), outputFiles[0]!.contents);
    return new SubjectProcess(folder, subject, onRecord);
  }

  tell(command: Command): void {
    this.#process.stdin.write(`${JSON.stringify(command)}\n`);
  }

  [Symbol.dispose](): void {
    this.#process.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
