import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

import { chromiumPath } from "../build/chromium.mjs";
import { DEMO, FILMS, PYTHON, REFERENCE } from "./places";

/** Build the site, and let the Python side say what it must give; KEEP_REFERENCE=1 takes what it said last time. */
export default function setup(): void {
  if (!chromiumPath) throw new Error("no chromium here; install it: apt-get update && apt-get install -y chromium");
  const run = (command: string, ...rest: string[]) => {
    const { status, stdout, stderr } = spawnSync(command, rest, { cwd: DEMO, encoding: "utf8", maxBuffer: 1 << 26 });
    if (status !== 0) throw new Error(`${command} ${rest.join(" ")}: status ${status}\n${stdout}${stderr}`);
  };
  run("npm", "run", "prepare-models");
  run("npm", "run", "build");
  if (process.env.KEEP_REFERENCE) return;
  const films = existsSync(FILMS);
  if (!films) console.log(`no films at ${FILMS}: only what is drawn is compared`);
  run(PYTHON, "tests/reference.py", REFERENCE, ...(films ? [FILMS] : []));
}
