// Copies the INT8 graphs beside the page, each compared with models/manifest.json, brings the classifier of films to a
// plain binary file, and writes down the sizes of what the page loads, for its progress bar.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { classifierBytes } from "./classifier.mjs";

const demo = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const models = resolve(demo, "../../models");
const target = join(demo, "models");

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}

let manifest;
try {
  manifest = JSON.parse(readFileSync(join(models, "manifest.json"), "utf8"));
} catch (error) {
  fail(`${join(models, "manifest.json")}: no manifest of the artefact (${error.message})`);
}
mkdirSync(target, { recursive: true });
for (const name of ["encoder_int8.onnx", "decoder_int8.onnx"]) {
  const file = join(models, name);
  let content;
  try {
    content = readFileSync(file);
  } catch {
    fail(
      `${file}: no such graph; make it with \`python -m monai.bundle run export --config_file configs/export.yaml\``,
    );
  }
  if (createHash("sha256").update(content).digest("hex") !== manifest.files?.[name]?.sha256) {
    fail(`${file}: is not the file that manifest.json describes; export again`);
  }
  copyFileSync(file, join(target, name));
}
const classifier = join(models, "film_classifier.npz");
try {
  writeFileSync(join(target, "film_classifier.bin"), classifierBytes(readFileSync(classifier)));
} catch (error) {
  fail(`${classifier}: cannot be read as the classifier of films (${error.message})`);
}
const runtime = createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm");
const sizes = {
  runtime: statSync(runtime).size,
  encoder: statSync(join(target, "encoder_int8.onnx")).size,
  decoder: statSync(join(target, "decoder_int8.onnx")).size,
  classifier: statSync(join(target, "film_classifier.bin")).size,
};
writeFileSync(join(target, "sizes.json"), `${JSON.stringify(sizes, null, 2)}\n`);
