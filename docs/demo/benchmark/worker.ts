import wasmUrl from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

import type { Network } from "../src/segmenter/network";
import { openNetwork, startRuntime } from "../src/segmenter/onnx";
import type { Task, Timing } from "./messages";

const SIZE = 384;
const DECODER_CALLS = 5; // a round, for one of the encoder

const fetched = async (url: string) => (await fetch(url)).arrayBuffer();

self.onmessage = async ({ data: { threads, rounds, networks } }: MessageEvent<Task>) => {
  startRuntime(await fetched(wasmUrl), threads);
  const image = Float32Array.from({ length: SIZE * SIZE }, (_, i) => 0.5 + 0.5 * Math.sin(i / 97) * Math.cos(i / 389));
  const whole = Float32Array.of(0, 0, SIZE, SIZE);
  const opened: { name: string; network: Network; start: number; encoder: number[]; decoder: number[] }[] = [];
  // The first graph starts the runtime, which is not the graph's own time
  await openNetwork(await fetched(networks[0]!.encoder), await fetched(networks[0]!.decoder), SIZE);
  for (const { name, encoder, decoder } of networks) {
    const graphs = await Promise.all([fetched(encoder), fetched(decoder)]);
    const start = performance.now();
    const network = await openNetwork(...graphs, SIZE);
    opened.push({ name, network, start: performance.now() - start, encoder: [], decoder: [] });
  }
  const timed = async <Result>(times: number[], call: () => Promise<Result>) => {
    const start = performance.now();
    const result = await call();
    times.push(performance.now() - start);
    return result;
  };
  for (let round = 0; round <= rounds; round++) {
    for (const { network, encoder, decoder } of opened) {
      if (round === 1) encoder.length = decoder.length = 0; // the first round warms up
      const embedding = await timed(encoder, () => network.encode(image));
      for (let call = 0; call < DECODER_CALLS; call++) await timed(decoder, () => network.decode(embedding, whole));
    }
  }
  const answer: Timing[] = opened.map(({ name, start, encoder, decoder }) => {
    return { name, start, encoder: median(encoder), decoder: median(decoder) };
  });
  self.postMessage(answer);
};

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}
