/** Surrounds of a film: what of its outermost pixels is alike, and hangs together. */

import { byPart, label } from "../mask/components";
import { RING, SPECK, TOLERANCE } from "./exposed_field_numbers";
import { extent, type Grid, like, type Numbers } from "./grid";
import { histogram, leastSquares } from "./statistics";

const ROUNDS = 2; // of fitting a slope to what lies near it

/** A picture that is looked at, in [0, 1]. */
export type Small = Grid<Float64Array>;

/** Upper and lower row, then left and right column. */
function outermost<Values extends Numbers>({ width, height, values }: Grid<Values>): Values {
  const ring = like(values, 2 * (width + height));
  ring.set(values.subarray(0, width));
  ring.set(values.subarray((height - 1) * width), width);
  for (let y = 0; y < height; y++) {
    ring[2 * width + y] = values[y * width]!;
    ring[2 * width + height + y] = values[y * width + width - 1]!;
  }
  return ring;
}

/** Share of the outermost pixels of a mask that lie in it. */
export function shareOutermost(mask: Grid<Uint8Array>): number {
  const ring = outermost(mask);
  return ring.reduce((sum, inside) => sum + inside, 0) / ring.length;
}

/** Whether enough of the outermost pixels of a picture are alike. */
export function hasFlatRing(picture: Grid<Float32Array> | Small): boolean {
  const ring = outermost<Float32Array | Float64Array>(picture);
  const [low, high] = extent(ring);
  const { counts } = histogram(ring, 32, [low, high > low ? high : low + 1]);
  const most = counts.slice(1).reduce((most, count, i) => Math.max(most, count + counts[i]!), 0);
  return most >= RING * ring.length;
}

/** Grays that a good share of the outermost pixels have, at most two. */
export function levels(picture: Small): number[] {
  const { counts, edges } = histogram(outermost(picture), 16, [0, 1]);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const order = counts
    .map((_, bin) => bin)
    .filter((bin) => counts[bin]! / total >= RING / 2)
    .sort((a, b) => counts[b]! - counts[a]!);
  const chosen: number[] = [];
  for (const bin of order) {
    const level = (edges[bin]! + edges[bin + 1]!) / 2;
    if (chosen.every((other) => Math.abs(level - other) > 2 * TOLERANCE)) chosen.push(level);
  }
  return chosen.slice(0, 2);
}

/**
 * Pixels about as bright as `level` that hang together with the picture's edge, with the specks within them: ones.
 *
 * Light boxes and walls are brighter here than there, as a slope over the picture.
 */
export function surroundOf(picture: Small, level: number): Uint8Array {
  const { width, height, values } = picture;
  const slope = slopeOf(picture, level);
  const alike = Uint8Array.from(values, (value, i) => Number(Math.abs(value - slope[i]!) <= TOLERANCE));
  const parts = label({ width, height, values: alike }, 4);
  const touching = new Uint8Array(parts.sizes.length);
  for (const part of outermost({ width, height, values: parts.labels })) touching[part] = 1;
  touching[0] = 0;
  const surround = byPart(parts.labels, touching);
  const islands = label({ width, height, values: surround.map((inside) => 1 - inside) }, 4);
  const filled = Uint8Array.from(islands.sizes, (size) => Number(size < SPECK * values.length));
  filled[0] = 1; // the surround itself
  return byPart(islands.labels, filled);
}

/** The plane through those outermost pixels of a picture that are about as bright as `level`. */
function slopeOf(picture: Small, level: number): Float32Array {
  const { width, height, values } = picture;
  const ring = outermost(picture);
  const x = outermost({ ...picture, values: values.map((_, i) => (i % width) / width) });
  const y = outermost({ ...picture, values: values.map((_, i) => Math.floor(i / width) / height) });
  let plane = [level, 0, 0] as [number, number, number];
  let reach = 2.5 * TOLERANCE;
  const slope = new Float32Array(values.length);
  for (let round = 0; round < ROUNDS; round++) {
    const [base, across, down] = plane;
    const near = (_: number, i: number) => Math.abs(ring[i]! - (base + across * x[i]! + down * y[i]!)) <= reach;
    const chosen = ring.filter(near);
    if (chosen.length < RING * ring.length) return slope.fill(level);
    const terms = [new Float64Array(chosen.length).fill(1), x.filter(near), y.filter(near)];
    plane = leastSquares(terms, chosen) as [number, number, number];
    reach = Math.max(TOLERANCE, 0.7 * reach);
  }
  const [base, across, down] = plane;
  for (let row = 0, i = 0; row < height; row++) {
    for (let column = 0; column < width; column++, i++) {
      slope[i] = base + (across * column) / width + (down * row) / height;
    }
  }
  return slope;
}
