/** The rectangle whose sides are the straight edges of a film within its surround. */

import type { Mask } from "../mask/mask";
import {
  BAND,
  CLEAN,
  ENCLOSED,
  MOST_LOST,
  MOST_TURNED,
  ONE_EDGE,
  ONE_SURROUND,
  SHARP,
  STEP,
  STRAIGHT,
  THINNEST,
} from "./exposed_field_numbers";
import { Field } from "./field";
import { extent } from "./grid";
import { type Point, roundHalfToEven } from "./matrix";
import { median } from "./statistics";
import { shareOutermost, type Small } from "./surround";

type Sides = [number, number, number, number]; // left, right, top, bottom

/** Outermost pixels of a film on one side, and which way is out. */
interface Outline {
  points: Point[];
  sign: -1 | 1;
  /** 0 for the left and right side, 1 for the others. */
  axis: 0 | 1;
}

const ANGLES = Array.from({ length: (2 * MOST_TURNED) / STEP + 1 }, (_, i) => -MOST_TURNED + i * STEP);
const UPRIGHT = ANGLES.indexOf(0);

/**
 * The rectangle whose sides are straight edges of a film in a picture, or null where it has none.
 *
 * A film that surround encloses may also be round (`roundToo`): there sharp edges do.
 */
export function fitted(picture: Small, film: Mask, roundToo = true): Field | null {
  if (!film.values.includes(1) || !film.values.includes(0)) return null;
  const { width, height } = film;
  const enclosed = roundToo && shareOutermost(film) <= 1 - ENCLOSED;
  const outlines = extremes(film);
  const edges = outlines.map(straightEdges);
  const [rows, columns] = linesOf(film);
  const lengths: Sides = [rows, rows, columns, columns];
  const isStraight = (support: number, side: number) => support >= STRAIGHT * lengths[side]!;
  if (!enclosed && !edges.some(({ supports }, n) => isStraight(Math.max(...supports), n))) return null;
  const best = bestAngle(edges.map(({ supports }) => supports));
  const { angle, cosine, sine } = turnBy(ANGLES[best]!);
  const pixels = placesOf(film, cosine, sine);
  const supports = edges.map((edge) => edge.supports[best]!) as Sides;
  const straight = supports.map(isStraight);
  const ends = [...extent(pixels.across), ...extent(pixels.down)];
  const limits = edges.map((edge, n) => (straight[n] ? edge.places[best]! : ends[n]!)) as Sides;
  if (best === UPRIGHT) {
    // A side without an edge ends with the picture
    const outer: Sides = [0, width - 1, 0, height - 1];
    const [left, right, top, bottom] = limits.map((limit, n) => {
      const sharp = () => enclosed && sharpness(picture, outlines[n]!) >= SHARP;
      return (straight[n] || sharp()) && isClean(film, n, limit) ? limit : outer[n]!;
    }) as Sides;
    const depth = Math.max(left / width, 1 - (right + 1) / width, top / height, 1 - (bottom + 1) / height);
    return depth < THINNEST ? null : new Field(left, top, right - left + 1, bottom - top + 1);
  }
  const [left, right, top, bottom] = limits;
  const most = Math.max(...supports.map((support, n) => support / lengths[n]!));
  const lonely = most >= ONE_EDGE && pixels.across.length / (width * height) <= 1 - ONE_SURROUND;
  if (straight.filter(Boolean).length < 2 && !lonely) return null;
  let lost = 0;
  for (let i = 0; i < pixels.across.length; i++) {
    const [x, y] = [pixels.across[i]!, pixels.down[i]!];
    lost += Number(x < left - 1.5 || x > right + 1.5 || y < top - 1.5 || y > bottom + 1.5);
  }
  const mostLost = straight.filter(Boolean).length < 3 ? 1 - CLEAN : MOST_LOST;
  if (lost / pixels.across.length > mostLost) return null;
  const x = (left - 0.5) * cosine + (top - 0.5) * -sine + 0.5;
  const y = (left - 0.5) * sine + (top - 0.5) * cosine + 0.5;
  return new Field(x, y, right - left + 1, bottom - top + 1, angle);
}

/** How many rows and columns hold a part of a film. */
function linesOf({ width, height, values }: Mask): [number, number] {
  const [rows, columns] = [new Uint8Array(height), new Uint8Array(width)];
  for (let i = 0; i < values.length; i++) {
    if (values[i]) rows[Math.floor(i / width)] = columns[i % width] = 1;
  }
  return [rows, columns].map((lines) => lines.reduce((sum, line) => sum + line, 0)) as [number, number];
}

function turnBy(angle: number): { angle: number; cosine: number; sine: number } {
  const radians = angle * (Math.PI / 180);
  return { angle, cosine: Math.cos(radians), sine: Math.sin(radians) };
}

/** Number of the angle at which most pixels lie on straight edges; upright unless another is clearly better. */
function bestAngle(supports: number[][]): number {
  const total = ANGLES.map((_, i) => supports.reduce((sum, side) => sum + side[i]!, 0));
  const best = total.indexOf(Math.max(...total));
  return total[best]! < 1.15 * total[UPRIGHT]! + 4 ? UPRIGHT : best;
}

/** Where the pixels of a film lie along both sides of a rectangle that is turned. */
function placesOf(
  { width, values }: Mask,
  cosine: number,
  sine: number,
): { across: Float64Array; down: Float64Array } {
  const count = values.reduce((sum, inside) => sum + inside, 0);
  const [across, down] = [new Float64Array(count), new Float64Array(count)];
  for (let i = 0, to = 0; i < values.length; i++) {
    if (!values[i]) continue;
    const [x, y] = [i % width, Math.floor(i / width)];
    across[to] = x * cosine + y * sine;
    down[to++] = y * cosine - x * sine;
  }
  return { across, down };
}

/** By how much a picture in [0, 1] changes at the outermost pixels of its film on one side: the median. */
function sharpness({ width, height, values }: Small, { points, sign, axis }: Outline): number {
  if (!points.length) return 0;
  const at = ([x, y]: Point, way: number) => {
    const [column, row] = axis === 0 ? [x + 2 * way * sign, y] : [x, y + 2 * way * sign];
    return values[Math.min(Math.max(row, 0), height - 1) * width + Math.min(Math.max(column, 0), width - 1)]!;
  };
  return median(Float64Array.from(points, (point) => Math.abs(at(point, -1) - at(point, 1))));
}

/** Whether what lies beyond `limit` at a side (left, right, top, bottom) of an upright film is surround. */
function isClean({ width, height, values }: Mask, side: number, limit: number): boolean {
  const line = roundHalfToEven(limit);
  const [left, right] = side === 0 ? [0, line] : side === 1 ? [line + 1, width] : [0, width];
  const [top, bottom] = side === 2 ? [0, line] : side === 3 ? [line + 1, height] : [0, height];
  let [inside, all] = [0, 0];
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++, all++) inside += values[y * width + x]!;
  }
  return all === 0 || inside / all <= 1 - CLEAN;
}

/** For each side the film's outermost pixels that do not lie at the picture's edge. */
function extremes({ width, height, values }: Mask): [Outline, Outline, Outline, Outline] {
  const [left, right, top, bottom]: Point[][] = [[], [], [], []];
  for (let y = 0; y < height; y++) {
    const row = values.subarray(y * width, (y + 1) * width);
    const first = row.indexOf(1);
    if (first < 0) continue;
    if (first !== 0) left!.push([first, y]);
    const last = row.lastIndexOf(1);
    if (last !== width - 1) right!.push([last, y]);
  }
  for (let x = 0; x < width; x++) {
    let [first, last] = [0, height - 1];
    while (first < height && !values[first * width + x]) first++;
    if (first === height) continue;
    while (!values[last * width + x]) last--;
    if (first !== 0) top!.push([x, first]);
    if (last !== height - 1) bottom!.push([x, last]);
  }
  return [
    { points: left!, sign: -1, axis: 0 },
    { points: right!, sign: 1, axis: 0 },
    { points: top!, sign: -1, axis: 1 },
    { points: bottom!, sign: 1, axis: 1 },
  ];
}

/** For each angle where most of the points lie on one line along a side, and how many do. */
function straightEdges({ points, sign, axis }: Outline): { places: number[]; supports: number[] } {
  if (!points.length) return { places: ANGLES.map(() => 0), supports: ANGLES.map(() => 0) };
  const places = ANGLES.map((angle) => {
    const { cosine, sine } = turnBy(angle);
    return points.map(([x, y]) => (axis === 0 ? x * cosine + y * sine : y * cosine - x * sine));
  });
  const least = Math.min(...places.map((row) => Math.min(...row)));
  const found = places.map((row) => {
    const totals = new Map<number, number>();
    for (const place of row) {
      const bin = Math.floor((place - least) / BAND);
      totals.set(bin, (totals.get(bin) ?? 0) + 1);
    }
    let [best, support] = [0, 0];
    for (const bin of [...totals.keys()].flatMap((key) => (key ? [key - 1, key] : [key])).sort((a, b) => a - b)) {
      const pair = (totals.get(bin) ?? 0) + (totals.get(bin + 1) ?? 0);
      if (pair > support) [best, support] = [bin, pair];
    }
    return { place: least + BAND * (best + (sign < 0 ? 0 : 2)), support };
  });
  return { places: found.map(({ place }) => place), supports: found.map(({ support }) => support) };
}
