import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

import { offline } from "./build/offline.mjs";
import { CONTENT_SECURITY_POLICY } from "./build/policy.mjs";

export default defineConfig(({ mode }) => ({
  base: "./", // works at any address
  publicDir: false,
  assetsInclude: ["**/*.onnx", "**/*.bin"],
  build: {
    outDir: mode === "benchmark" ? "benchmark/dist" : "dist",
    rollupOptions: { input: mode === "benchmark" ? "benchmark/index.html" : "index.html" },
    assetsInlineLimit: 0, // the policy allows no data: addresses
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1000,
  },
  worker: { format: "es" as const },
  plugins: [
    {
      // For hosts that set no headers; the server of `make web` does
      name: "policy",
      apply: "build" as const,
      transformIndexHtml: () => [
        {
          tag: "meta",
          attrs: { "http-equiv": "Content-Security-Policy", content: CONTENT_SECURITY_POLICY },
          injectTo: "head-prepend" as const,
        },
      ],
    },
    ...(mode === "benchmark" ? [] : [offline(fileURLToPath(new URL("./src/service_worker.js", import.meta.url)))]),
  ],
  test: {
    include: ["tests/**/*.test.ts"],
    globalSetup: "tests/setup.ts",
    testTimeout: 60_000,
    hookTimeout: 120_000,
    fileParallelism: false, // the browser needs the cores
  },
}));
