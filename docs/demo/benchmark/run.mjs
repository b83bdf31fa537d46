// Time, memory and bytes of the page in headless Chromium, INT8 against FP32: npm run benchmark [-- ROUNDS]
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

import { chromium } from "playwright-core";

import { chromiumPath } from "../build/chromium.mjs";
import { siteServer } from "../build/server.mjs";

const demo = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const root = resolve(demo, "../..");
const rounds = Number(process.argv[2] ?? 20);
const python = process.env.PYTHON ?? join(root, ".venv/bin/python");
const run = (command, ...rest) => execFileSync(command, rest, { cwd: demo, stdio: ["ignore", "ignore", "inherit"] });

const exported = join(demo, "benchmark/fp32");
if (!existsSync(join(exported, "decoder_fp32.onnx"))) {
  const config = join(root, "configs/export.yaml");
  run(
    python,
    "-m",
    "monai.bundle",
    "run",
    "export",
    "--config_file",
    config,
    "--bundle_root",
    root,
    "--output_dir",
    exported,
  );
}
run("npm", "run", "prepare-models");
run("npm", "run", "build");
run("npx", "vite", "build", "--mode", "benchmark");
const graphs = join(demo, "benchmark/dist/graphs");
mkdirSync(graphs, { recursive: true });
for (const part of ["encoder", "decoder"]) {
  copyFileSync(join(demo, `models/${part}_int8.onnx`), join(graphs, `${part}_int8.onnx`));
  copyFileSync(join(exported, `${part}_fp32.onnx`), join(graphs, `${part}_fp32.onnx`));
}
const networks = ["int8", "fp32"].map((name) => {
  return { name, encoder: `/graphs/encoder_${name}.onnx`, decoder: `/graphs/decoder_${name}.onnx` };
});

/** Run `use` in a fresh Chromium on a server of `folder`. */
async function inBrowser(folder, use) {
  const site = siteServer(folder);
  const sockets = [];
  site.on("connection", (socket) => sockets.push(socket));
  const bytes = () => sockets.reduce((sum, socket) => sum + socket.bytesWritten, 0);
  await new Promise((started) => site.listen(0, "127.0.0.1", started));
  const profile = mkdtempSync(join(tmpdir(), "demo_benchmark_"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: chromiumPath,
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  try {
    return await use(await context.newPage(), `http://localhost:${site.address().port}`, bytes);
  } finally {
    await context.close();
    site.closeAllConnections();
    site.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

/** Peak of resident memory in MB: the largest of the processes below this one that render pages. */
function rendererPeak() {
  const status = (pid) => {
    try {
      return readFileSync(`/proc/${pid}/status`, "utf8");
    } catch {
      return ""; // ended meanwhile
    }
  };
  const parents = new Map();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    parents.set(Number(pid), Number(/PPid:\s+(\d+)/.exec(status(pid))?.[1] ?? 0));
  }
  const descends = (pid) => pid > 1 && (pid === process.pid || descends(parents.get(pid) ?? 0));
  const peaks = [...parents.keys()].filter(descends).flatMap((pid) => {
    let command;
    try {
      command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      return [];
    }
    const peak = /VmHWM:\s+(\d+)/.exec(status(pid))?.[1];
    return command.includes("--type=renderer") && peak ? [(Number(peak) * 1024) / 1e6] : [];
  });
  return Math.max(...peaks);
}

const measured = (task) => (page, origin) =>
  page.goto(`${origin}/benchmark/`).then(() => page.evaluate((given) => window.measure(given), task));

console.log(`${cpus().length} cores, ${cpus()[0].model}; ${rounds} rounds, one of the encoder and five of the decoder`);
for (const threads of [1, 2]) {
  const timings = await inBrowser(join(demo, "benchmark/dist"), measured({ threads, rounds, networks }));
  for (const { name, start, encoder, decoder } of timings) {
    const [times, opening] = [`encoder ${encoder.toFixed(0)} ms, decoder ${decoder.toFixed(1)} ms`, start.toFixed(0)];
    console.log(`${name}, ${threads} thread(s): ${times}, opening the graphs ${opening} ms`);
  }
}
for (const network of networks) {
  const task = { threads: 2, rounds: 3, networks: [network] };
  const peak = await inBrowser(join(demo, "benchmark/dist"), async (page, origin) => {
    await measured(task)(page, origin);
    return rendererPeak();
  });
  console.log(`${network.name} alone: peak memory of the renderer ${peak.toFixed(0)} MB`);
}

await inBrowser(join(demo, "dist"), async (page, origin, bytes) => {
  const start = performance.now();
  await page.goto(origin);
  await page.getByText("The network is ready").waitFor();
  const ready = performance.now() - start;
  const loaded = bytes();
  const clicked = performance.now();
  await page.getByRole("button", { name: "Try a phantom" }).click();
  await page.getByText("phantom.png is segmented").waitFor();
  const segmented = performance.now() - clicked;
  await page.getByText("This page now works offline").waitFor();
  console.log(`first load: ${(loaded / 1e6).toFixed(2)} MB, ready after ${(ready / 1000).toFixed(2)} s from localhost`);
  console.log(`phantom: ${segmented.toFixed(0)} ms from the click to the mask; peak ${rendererPeak().toFixed(0)} MB`);
  console.log(`kept for offline use: ${((bytes() - loaded) / 1e6).toFixed(2)} MB more`);
});
const files = readdirSync(join(demo, "dist"), { recursive: true }).map((name) => join(demo, "dist", name));
const contents = files.filter((file) => statSync(file).isFile()).map((file) => readFileSync(file));
const sum = (of) => (contents.map(of).reduce((total, one) => total + one, 0) / 1e6).toFixed(2);
const brotli = { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } };
console.log(
  `the whole site: ${sum((content) => content.length)} MB, ${sum((content) => gzipSync(content).length)} with gzip, ` +
    `${sum((content) => brotliCompressSync(content, brotli).length)} with brotli`,
);
