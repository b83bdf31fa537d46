// Vite plugin: writes service_worker.js beside the built site, with the list of its files.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";

export function offline(template) {
  let folder;
  return {
    name: "offline",
    apply: "build",
    configResolved(config) {
      folder = join(config.root, config.build.outDir);
    },
    closeBundle() {
      const files = readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && entry.name !== "service_worker.js")
        .map((entry) => join(entry.parentPath, entry.name))
        .sort();
      const hash = createHash("sha256");
      for (const file of files) hash.update(file).update(readFileSync(file));
      const names = files.map((file) => relative(folder, file).split(sep).join("/"));
      const kept = ["./", ...names.filter((name) => name !== "index.html")];
      const worker = readFileSync(template, "utf8")
        .replace("BUILT_FILES", JSON.stringify(kept))
        .replace("BUILT_VERSION", JSON.stringify(hash.digest("hex").slice(0, 16)));
      writeFileSync(join(folder, "service_worker.js"), worker);
    },
  };
}
