/** A plugin of Vite's that makes the mutation which EV_MUTATION names, before anything else sees the source. */
import { relative, sep } from "node:path";
import { env } from "node:process";
import { fileURLToPath } from "node:url";
import { mutate } from "./mutations.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));

export const mutating = {
  name: "event-value:mutating",
  enforce: /** @type {const} */ ("pre"),
  /**
   * @param {string} source
   * @param {string} id
   */
  transform(source, id) {
    if (!env.EV_MUTATION) return undefined;
    const file = relative(root, id.replace(/\?.*$/, "")).split(sep).join("/");
    return mutate(env.EV_MUTATION, file, source);
  },
};
