import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

const names = ["chromium", "chromium-browser", "google-chrome"];
const folders = (process.env.PATH ?? "").split(delimiter);
const candidates = [process.env.CHROMIUM, ...folders.flatMap((folder) => names.map((name) => join(folder, name)))];

/** A Chromium, or undefined: what CHROMIUM names, else the first on the PATH. */
export const chromiumPath = candidates.find((path) => path && existsSync(path));
