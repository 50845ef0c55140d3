// What a browser fetches before Create can be used, compressed: at most 250 kB.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const MOST_BYTES = 250_000;
const out = process.env.STUDIO_OUT ?? "../src/ourvidz/studio";
const manifest = JSON.parse(readFileSync(join(out, "build.json"), "utf8"));

const files = new Set(["index.html", "theme.js", "favicon.svg"]);
function add(key) {
  const chunk = manifest[key];
  if (!chunk || files.has(chunk.file)) return;
  files.add(chunk.file);
  for (const css of chunk.css ?? []) files.add(css);
  for (const imported of chunk.imports ?? []) add(imported);
}
add("index.html");
add("src/views/create/index.tsx");
const font = Object.values(manifest).find(({ file }) => /inter-latin-wght-normal/.test(file));
if (!font) throw new Error("the manifest names no inter-latin font: is it still bundled?");
files.add(font.file);

const sizes = [...files].map((file) => {
  const bytes = readFileSync(join(out, file));
  return [file, /\.woff2$/.test(file) ? bytes.length : gzipSync(bytes, { level: 9 }).length];
});
const total = sizes.reduce((sum, [, bytes]) => sum + bytes, 0);
for (const [file, bytes] of sizes.sort((a, b) => b[1] - a[1])) {
  console.log(`${String(bytes).padStart(8)}  ${file}`);
}
console.log(`${String(total).padStart(8)}  in all, of at most ${MOST_BYTES}`);
process.exit(total <= MOST_BYTES ? 0 : 1);
