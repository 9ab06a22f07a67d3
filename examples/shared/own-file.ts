/** A file that only we write: at any moment it is there, whole, and no file of anybody else is overwritten. */
import { lstat, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

export class OwnFile {
  readonly path: string;
  /** What it begins with. By this it is known to be ours. */
  readonly #header: string;
  /** What to do about a file that is not ours. */
  readonly #advice: string;

  constructor(path: string, header: string, advice: string) {
    this.path = path;
    this.#header = header;
    this.#advice = advice;
  }

  /** What follows the header; undefined where there is no file. Throws where the file is not ours. */
  async read(): Promise<string | undefined> {
    const found = await lstat(this.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (found === undefined) return undefined;
    const text = found.isFile() ? await readFile(this.path, "utf8") : "";
    if (text.startsWith(this.#header)) return text.slice(this.#header.length);
    throw new Error(`${this.path} was not written by this program and is left alone: ${this.#advice}`);
  }

  /** Sees to it that `text` follows the header. Resolves with whether the file had to be written for that. */
  async write(text: string): Promise<boolean> {
    if ((await this.read()) === text) return false;
    const temporary = join(dirname(this.path), `.${basename(this.path)}.${process.pid}`);
    try {
      await writeFile(temporary, this.#header + text, { flush: true });
      await rename(temporary, this.path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    return true;
  }
}
