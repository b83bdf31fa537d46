// Where ONNX Runtime Web puts the nodes of the INT8 graphs if it is asked for WebGPU, in headless Chromium with the
// software adapter: npm run placement
import { createReadStream, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

import { chromiumPath } from "../build/chromium.mjs";

const demo = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const runtime = dirname(createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"));
const types = { mjs: "text/javascript", wasm: "application/wasm", onnx: "application/octet-stream" };

const server = createServer((request, response) => {
  const name = request.url.slice(1);
  const type = types[name.split(".").pop()];
  response.writeHead(200, { "Content-Type": type ?? "text/html" });
  if (type) createReadStream(join(type === types.onnx ? join(demo, "models") : runtime, name)).pipe(response);
  else response.end("<!doctype html><title>Placement</title>");
});
await new Promise((started) => server.listen(0, "127.0.0.1", started));
const profile = mkdtempSync(join(tmpdir(), "demo_placement_"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: chromiumPath,
  headless: true,
  args: ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
});
try {
  const page = await context.newPage();
  const lines = [];
  page.on("console", (message) => lines.push(message.text()));
  await page.goto(`http://localhost:${server.address().port}/`);
  for (const part of ["encoder", "decoder"]) {
    lines.length = 0;
    await page.evaluate(async (graph) => {
      const ort = await import("/ort.webgpu.bundle.min.mjs");
      ort.env.logLevel = "verbose";
      ort.env.wasm.wasmPaths = "/";
      await ort.InferenceSession.create(graph, { executionProviders: ["webgpu"], logSeverityLevel: 0 });
    }, `/${part}_int8.onnx`);
    const log = lines.join("\n");
    for (const [, provider, nodes] of log.matchAll(/placed on \[(\w+)\]\. Number of nodes: (\d+)/g)) {
      console.log(`${part}: ${nodes} nodes on ${provider}`);
    }
    const count = (text) => log.split(text).length - 1;
    console.log(`${part}: ${count("Add MemcpyFromHost") + count("Add MemcpyToHost")} copies between the two`);
    const integer = /(QLinearConv|MatMulInteger\w*|QGemm|DynamicQuantizeMatMul) \(/.exec(log);
    console.log(`${part}: ${integer ? `integer kernels, such as ${integer[1]}` : "no integer kernel"}`);
  }
} finally {
  await context.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}
