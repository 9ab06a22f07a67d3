import { defineConfig } from "vitest/config";
import { mutating } from "./test/mutations/plugin.mjs";

export default defineConfig({
  plugins: [mutating],
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/global-setup.mjs"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A rejection nobody handles is a defect of the library: vitest fails the run on it.
    dangerouslyIgnoreUnhandledErrors: false,
    maxWorkers: 2,
  },
});
