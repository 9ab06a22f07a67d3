/** `npm run build`: compiles src/ to dist/, from scratch. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { execPath } from "node:process";
import { root } from "./bootstrap.mjs";

rmSync(join(root, "dist"), { recursive: true, force: true });
const tsc = spawnSync(execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"], {
  cwd: root,
  stdio: "inherit",
});
process.exitCode = tsc.status ?? 1;
const cli = join(root, "dist/cli/main.js");
if (existsSync(cli)) chmodSync(cli, 0o755);
