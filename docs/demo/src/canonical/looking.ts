/** Polarity and pose of a film by looking at it: `Classifier` of scripts/films/looking.py, in the same integers. */

import type { Plane } from "../film/film";
import { thumbnail } from "./exposed_field";
import type { Grid } from "./grid";
import { consensus, Look, POSES, UNSURE } from "./look";
import { averaged } from "./pillow";
import { Pose } from "./pose";
import { percentile } from "./statistics";

export const SIDE = 64; // of the picture that is looked at, in pixels
const SMALLEST = 8; // side of a film in pixels below which there is nothing to see
const BRIGHTEST = 255; // activations are 8 bits
const PERCENTILES = [1, 99] as const;

/** 3 x 3 convolution of stride 2 with zeros around; the last layer is a product with all values. */
export interface Layer {
  /** Outputs x inputs (x 3 x 3). */
  weight: Int8Array;
  bias: Int32Array;
  scale: Float64Array;
}

/** A small convolutional network; whole numbers between its layers, all of them exact. */
export class Classifier {
  constructor(private readonly layers: readonly Layer[]) {}

  /**
   * The network in a file of build/models.mjs: the number of layers and, of each, how many outputs it has and how many
   * weights each of those (uint32); then all scales (float64), biases (int32) and weights (int8), little-endian.
   */
  static read(content: ArrayBuffer): Classifier {
    const view = new DataView(content);
    const count = view.getUint32(0, true);
    const shapes = Array.from({ length: count }, (_, n) => [view.getUint32(8 + 8 * n, true), view.getUint32(12 + 8 * n, true)]);
    const outputs = shapes.reduce((sum, [rows]) => sum + rows!, 0);
    let [scales, weights] = [8 + 8 * count, 8 + 8 * count + 12 * outputs];
    let biases = scales + 8 * outputs;
    const layers = shapes.map(([rows, columns]) => {
      const scale = Float64Array.from({ length: rows! }, (_, i) => view.getFloat64(scales + 8 * i, true));
      const bias = Int32Array.from({ length: rows! }, (_, i) => view.getInt32(biases + 4 * i, true));
      const weight = new Int8Array(content, weights, rows! * columns!);
      [scales, biases, weights] = [scales + 8 * rows!, biases + 4 * rows!, weights + rows! * columns!];
      return { weight, bias, scale };
    });
    return new Classifier(layers);
  }

  /** Look at a film in any grays; one that does not seem upright is looked at in all eight poses. */
  look(film: Plane): Look {
    if (Math.min(film.width, film.height) < SMALLEST) return UNSURE;
    const picture = pictureOf(film);
    const first = this.judge(picture);
    return first.upright ? first : this.agreed(picture);
  }

  /** What looking at a 64 x 64 picture in each of the eight poses comes to. */
  agreed(picture: Grid<Uint8Array>): Look {
    const turns = Array.from({ length: POSES }, (_, number) => Pose.numbered(number));
    return consensus(
      turns,
      turns.map((turn) => this.judge(turn.upright(picture))),
    );
  }

  /** Look at a 64 x 64 picture of 8 bits. */
  judge(picture: Grid<Uint8Array>): Look {
    const logits = this.logits(picture);
    const most = Math.max(...logits);
    const odds = logits.map((logit) => Math.exp(logit - most));
    const sum = odds.reduce((total, odd) => total + odd, 0);
    return new Look(odds.map((odd) => odd / sum));
  }

  /** Sixteen numbers for a 64 x 64 picture of 8 bits. */
  logits(picture: Grid<Uint8Array>): number[] {
    let [values, side] = [picture.values, picture.width];
    for (const layer of this.layers.slice(0, -1)) {
      values = convolved(values, side, layer);
      side >>= 1;
    }
    const { weight, bias, scale } = this.layers.at(-1)!;
    return Array.from(bias, (start, output) => {
      let total = start;
      for (let i = 0, at = output * values.length; i < values.length; i++, at++) total += values[i]! * weight[at]!;
      return total * scale[output]!;
    });
  }
}

/** Channels of `side` x `side` values of 8 bits -> channels of half the side. */
function convolved(values: Uint8Array, side: number, { weight, bias, scale }: Layer): Uint8Array {
  const [channels, half, outputs] = [values.length / (side * side), side >> 1, bias.length];
  const wide = side + 2;
  const padded = new Uint8Array(channels * wide * wide);
  for (let channel = 0; channel < channels; channel++) {
    for (let y = 0; y < side; y++) {
      const from = (channel * side + y) * side;
      padded.set(values.subarray(from, from + side), (channel * wide + y + 1) * wide + 1);
    }
  }
  const totals = new Int32Array(half * half);
  const result = new Uint8Array(outputs * half * half);
  for (let output = 0; output < outputs; output++) {
    totals.fill(bias[output]!);
    for (let channel = 0; channel < channels; channel++) {
      for (let tap = 0; tap < 9; tap++) {
        const factor = weight[(output * channels + channel) * 9 + tap]!;
        if (!factor) continue;
        for (let y = 0, to = 0; y < half; y++) {
          let from = (channel * wide + 2 * y + Math.floor(tap / 3)) * wide + (tap % 3);
          for (let x = 0; x < half; x++, to++, from += 2) totals[to]! += padded[from]! * factor;
        }
      }
    }
    for (let i = 0, to = output * totals.length; i < totals.length; i++, to++) {
      result[to] = Math.min(Math.max(Math.floor(totals[i]! * scale[output]! + 0.5), 0), BRIGHTEST);
    }
  }
  return result;
}

/** 64 x 64 picture of 8 bits of a film, stretched to a square. */
export function pictureOf(film: Plane): Grid<Uint8Array> {
  const small = thumbnail(film, 2 * SIDE);
  const [low, high] = percentile(small.values, PERCENTILES) as [number, number];
  const range = Math.max(high - low, 1e-6);
  const { values } = averaged(small, SIDE, SIDE);
  const bytes = Uint8Array.from(values, (value) =>
    Math.min(Math.max(((value - low) / range) * BRIGHTEST + 0.5, 0), BRIGHTEST),
  );
  return { width: SIDE, height: SIDE, values: bytes };
}
