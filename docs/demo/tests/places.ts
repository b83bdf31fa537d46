import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const DEMO = resolve(fileURLToPath(new URL("..", import.meta.url)));
export const ROOT = resolve(DEMO, "../..");
export const SITE = join(DEMO, "dist");
/** What tests/reference.py writes. */
export const REFERENCE = join(DEMO, "tests/reference");
/** Real films, if they are there. */
export const FILMS = process.env.FILMS ?? resolve(ROOT, "../shared/cxr");
export const PYTHON = process.env.PYTHON ?? join(ROOT, ".venv/bin/python");
