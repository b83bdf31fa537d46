import type { FilmFlag } from "../canonical/record";
import type { Plane } from "../film/film";
import { label, largestFirst } from "./components";
import type { Mask } from "./mask";

/** What looks wrong with a mask; docs/segmenting_films.md says how often each is raised. */
export type Flag =
  | "nothing_found"
  | "one_lung"
  | "touches_border"
  | "low_confidence"
  | "not_a_chest_film"
  | FilmFlag;

const LOW = 0.95; // expected Dice below which confidence is low
const VERY_LOW = 0.9; // below which the film is doubted whatever the mask looks like
const SECOND = 0.15; // least area of the second part over that of the first
const BORDER = 0.01; // largest share of the film's border within the mask; ten times as much also casts doubt

/** Every how many pixels of a film are enough to judge its mask: at least 256 along the shorter side remain. */
export function coarsening(width: number, height: number): number {
  return Math.max(1, Math.floor(Math.min(width, height) / 256));
}

/** Dice that the network itself expects of its mask: 2 sum(p m) / (sum(p) + sum(m)), m = [p > 0.5]; 0 if m is empty. */
export function expectedDice({ width, height, values }: Plane): number {
  const step = coarsening(width, height);
  let [inMask, all, pixels] = [0, 0, 0];
  for (let y = 0; y < height; y += step) {
    for (let x = 0; x < width; x += step) {
      const probability = values[y * width + x]!;
      all += probability;
      if (probability > 0.5) {
        inMask += probability;
        pixels++;
      }
    }
  }
  return pixels ? (2 * inMask) / (all + pixels) : 0;
}

/** Flags of a mask, within the exposed field if there is one, whose network expects the Dice `expected` of it. */
export function qualityFlags(mask: Mask, expected: number): Flag[] {
  const coarse = coarsened(mask);
  if (!coarse.values.includes(1)) return ["nothing_found", "low_confidence", "not_a_chest_film"];
  const single = secondPart(coarse) < SECOND;
  const border = borderShare(coarse);
  const raised: Record<string, boolean> = {
    one_lung: single,
    touches_border: border > BORDER,
    low_confidence: expected < LOW,
    not_a_chest_film: expected < VERY_LOW || (expected < LOW && (single || border > 10 * BORDER)),
  };
  return (Object.keys(raised) as Flag[]).filter((flag) => raised[flag]);
}

function coarsened({ width, height, values }: Mask): Mask {
  const step = coarsening(width, height);
  const [columns, rows] = [Math.ceil(width / step), Math.ceil(height / step)];
  const coarse = new Uint8Array(columns * rows);
  for (let y = 0, i = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, i++) coarse[i] = values[y * step * width + x * step]!;
  }
  return { width: columns, height: rows, values: coarse };
}

/** Area of the second largest part, connected over edges, over that of the largest. */
function secondPart(mask: Mask): number {
  const components = label(mask, 4);
  const [first, second] = largestFirst(components).map((part) => components.sizes[part]!);
  return second === undefined ? 0 : second / first!;
}

/** Share of the outermost pixels that lie in the mask. */
function borderShare({ width, height, values }: Mask): number {
  let [inMask, all] = [0, 0];
  for (let y = 0; y < height; y++) {
    const edge = y === 0 || y === height - 1;
    for (let x = 0; x < width; x += edge ? 1 : Math.max(1, width - 1)) {
      inMask += values[y * width + x]!;
      all++;
    }
  }
  return inMask / all;
}
