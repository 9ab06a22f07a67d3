/** `npm start`: runs examples/host-directory, as `npm run example -- host-directory` does. */
import { argv } from "node:process";

argv.splice(2, 0, "host-directory");
await import("./example.mjs");
