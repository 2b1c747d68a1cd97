import { defineConfig } from "vitest/config";

export default defineConfig({
  // Relative: the page works under any path of any host.
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    // Data URLs would need an exception in the Content-Security-Policy.
    assetsInlineLimit: 0,
    rolldownOptions: { input: ["index.html", "signed-in.html"] },
  },
  server: { port: 5173 },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
