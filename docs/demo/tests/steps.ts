import { readFileSync } from "node:fs";
import { join } from "node:path";

import type { Plane } from "../src/film/film";
import type { Mask } from "../src/mask/mask";
import { REFERENCE } from "./places";

/** An array as tests/reference.py packs it: float32 in base64. */
export interface Packed {
  shape: [number, number];
  values: string;
}

export interface Step {
  input: Packed;
  output: Packed;
}

/** What tests/reference.py writes to steps.json. */
export interface Steps {
  reading: {
    file: string;
    pixels: Packed;
    spacing: [number, number] | null;
    spacing_source: string;
    orientation: string;
  }[];
  intensity: Step[];
  frame: Step[];
  letterbox: (Step & { probability: Packed; inverse: Packed })[];
  mask: {
    mask: Packed;
    plausible: Packed;
    probability: Packed;
    expected_dice: number;
    assumed_dice: number;
    flags: string[];
    orientation: string;
    areas: { area_cm2: number; right_lung_cm2?: number; left_lung_cm2?: number };
  }[];
  box: { film: Packed; box: [number, number, number, number]; prompt: number[] }[];
  phantom: Packed;
}

export function readSteps(): Steps {
  return JSON.parse(readFileSync(join(REFERENCE, "steps.json"), "utf8")) as Steps;
}

export function plane({ shape: [height, width], values }: Packed): Plane {
  const bytes = new Uint8Array(Buffer.from(values, "base64"));
  return { width, height, values: new Float32Array(bytes.buffer) };
}

export function mask(packed: Packed): Mask {
  const { width, height, values } = plane(packed);
  return { width, height, values: Uint8Array.from(values) };
}

/** Largest absolute difference of two arrays of the same length; NaN where the lengths differ. */
export function largestDifference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return NaN;
  let largest = 0;
  for (let i = 0; i < found.length; i++) largest = Math.max(largest, Math.abs(found[i]! - expected[i]!));
  return largest;
}
