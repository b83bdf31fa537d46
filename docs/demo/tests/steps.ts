import { readFileSync } from "node:fs";
import { join } from "node:path";

import type { Sources } from "../src/canonical/record";
import type { Plane, StoredFilm } from "../src/film/film";
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

/** A canonical film's record, see tests/reference_films.py. */
export interface RecordStep {
  pose: number;
  rows: number;
  columns: number;
  field: [number, number, number, number, number] | null;
  inverted: boolean;
  flags: string[];
  described: Sources;
  size: [number, number];
  restored: Packed;
}

/** A film in one form, and what Python makes of it. */
export interface FilmStep {
  file: string;
  values: Packed;
  stated: Omit<StoredFilm, "width" | "height" | "values" | "pose"> & { pose: number | null };
  picture: Packed;
  record: RecordStep;
  /** Of the film as the file has it, whatever it looks like. */
  believed: RecordStep;
  seen: Packed;
  logits: number[];
}

/** What tests/reference.py writes to steps.json. */
export interface Steps {
  films: FilmStep[];
  intensity: Step[];
  letterbox: (Step & { probability: Packed; inverse: Packed })[];
  mask: {
    mask: Packed;
    plausible: Packed;
    probability: Packed;
    expected_dice: number;
    assumed_dice: number;
    flags: string[];
    pose: number;
    areas: { area_cm2: number; right_lung_cm2?: number; left_lung_cm2?: number };
  }[];
  box: { film: Packed; box: [number, number, number, number]; prompt: number[] }[];
  phantom: Packed;
}

/** One in so many pixels of a film is compared. */
const EVERY = 23;

/** The values that `packed(..., EVERY)` of tests/reference_films.py keeps. */
export function sampled(values: Float32Array): Float32Array {
  return Float32Array.from({ length: Math.ceil(values.length / EVERY) }, (_, i) => values[i * EVERY]!);
}

/** Numbers in [0, 1) that are the same in every language, as `scattered` of tests/reference_films.py. */
export function scattered(width: number, height: number): Plane {
  const values = new Float32Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = (Math.imul(i, 2654435761) >>> 8) / (1 << 24);
  return { width, height, values };
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
