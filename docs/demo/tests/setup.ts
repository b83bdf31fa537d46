import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";

import { chromiumPath } from "../build/chromium.mjs";
import { DEMO, FILMS, PYTHON, REFERENCE } from "./places";

/** Build the site, and let the Python side say what it must give; KEEP_REFERENCE=1 takes what it said last time. */
export default function setup(): void {
  if (!chromiumPath) throw new Error("no chromium here; install it: apt-get update && apt-get install -y chromium");
  const run = (command: string, ...rest: string[]) =>
    execFileSync(command, rest, { cwd: DEMO, stdio: "pipe", maxBuffer: 1 << 26 }); // an error brings their output
  run("npm", "run", "prepare-models");
  run("npm", "run", "build");
  if (process.env.KEEP_REFERENCE) return;
  const films = existsSync(FILMS);
  if (!films) console.log(`no films at ${FILMS}: only what is drawn is compared`);
  run(PYTHON, "tests/reference.py", REFERENCE, ...(films ? [FILMS] : []));
}
