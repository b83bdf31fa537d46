import * as ort from "onnxruntime-web/wasm";
import runtimeScript from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";

import type { Network } from "./network";

const MOST_THREADS = 4; // beyond, the compact encoder gains nothing

/** How the graphs run here. */
export interface Runtime {
  threads: number;
}

/** Set ONNX Runtime up with its WASM module, before the first graph is opened. */
export function startRuntime(wasm: ArrayBuffer, threads = sensibleThreads()): Runtime {
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: runtimeScript };
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  return { threads };
}

/** Threads share memory, which browsers allow isolated pages alone. */
export function sensibleThreads(): number {
  return self.crossOriginIsolated ? Math.max(1, Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS)) : 1;
}

/** The graphs that `python -m monai.bundle run export` writes, in ONNX Runtime's WASM backend. */
export async function openNetwork(
  encoderGraph: ArrayBuffer,
  decoderGraph: ArrayBuffer,
  size: number,
): Promise<Network> {
  const options: ort.InferenceSession.SessionOptions = {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
  };
  const encoder = await ort.InferenceSession.create(encoderGraph, options);
  const decoder = await ort.InferenceSession.create(decoderGraph, options);
  let shape: readonly number[] = [];
  return {
    size,
    async encode(image) {
      const answer = await encoder.run({ image: new ort.Tensor("float32", image, [1, 1, size, size]) });
      const embedding = answer[encoder.outputNames[0]!]!;
      shape = embedding.dims;
      return embedding.data as Float32Array;
    },
    async decode(embedding, box) {
      const answer = await decoder.run({
        embedding: new ort.Tensor("float32", embedding, shape),
        boxes: new ort.Tensor("float32", box, [1, 4]),
      });
      return answer[decoder.outputNames[0]!]!.data as Float32Array;
    },
  };
}
