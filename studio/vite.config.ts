import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const server = process.env.OURVIDZ_URL ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    outDir: process.env.STUDIO_OUT ?? "../src/ourvidz/studio",
    emptyOutDir: true,
    manifest: "build.json",
    license: { fileName: "licenses.md" },
    assetsInlineLimit: 0, // the content security policy allows no data: scripts or styles
    target: "es2023",
    chunkSizeWarningLimit: 600,
  },
  server: {
    proxy: Object.fromEntries(
      ["/api", "/files", "/docs", "/healthz"].map((path) => [
        path,
        { target: server, changeOrigin: false }, // the service refuses pages of other origins
      ]),
    ),
  },
  test: {
    projects: [
      // Logic needs no page, and starts twenty times faster without one.
      {
        extends: true,
        test: { name: "logic", environment: "node", include: ["src/**/*.test.ts"] },
      },
      {
        extends: true,
        test: {
          name: "page",
          environment: "jsdom",
          include: ["src/**/*.test.tsx"],
          setupFiles: ["src/test-setup.ts"],
        },
      },
    ],
  },
});
