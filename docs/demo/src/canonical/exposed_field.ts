/** What lies within a black, white or gray surround, upright or slightly turned: scripts/films/exposed_field.py. */

import type { Plane } from "../film/film";
import { BLUR, INNER_RING, LAYERS, LEAST, NOISE, RING, SIDE, SMALLEST } from "./exposed_field_numbers";
import { Field } from "./field";
import { fitted } from "./fitting";
import { type Grid, like } from "./grid";
import { roundHalfToEven } from "./matrix";
import { smoothed } from "./smoothing";
import { percentile } from "./statistics";
import { hasFlatRing, levels, outermost, shareOutermost, type Small, surroundOf } from "./surround";

/**
 * The exposed field of an upright picture, or null where there is no surround around it.
 *
 * Straight edges between a surround and a film are looked for at every angle, on each side of its own; only what is
 * surround is cut off.
 */
export function findField(picture: Plane): Field | null {
  const { width, height } = picture;
  const samples = thumbnail(picture, SIDE);
  if (Math.min(samples.width, samples.height) < SMALLEST || !hasFlatRing(samples)) return null;
  const [low, high] = percentile(samples.values, [1, 99]) as [number, number];
  const range = Math.max(high - low, 1e-6);
  const scaled = Float64Array.from(samples.values, (value) => Math.min(Math.max((value - low) / range, 0), 1));
  const small = withoutNoise({ ...samples, values: scaled });
  const whole = new Field(0, 0, small.width, small.height);
  let [found, view] = [whole, small];
  for (let layer = 0; layer < LAYERS; layer++) {
    const inner = fieldOfLayer(view, layer > 0);
    if (!inner || inner.width * inner.height < LEAST * small.width * small.height) break;
    found = inner.inside(found);
    // Edges are blurred, which would hide the next surround
    view = sampled(small, new Field(BLUR, BLUR, found.width - 2 * BLUR, found.height - 2 * BLUR).inside(found));
    if (Math.min(view.width, view.height) < SMALLEST || !hasFlatRing(view)) break;
  }
  return found === whole ? null : found.scaled(width / small.width, height / small.height);
}

/** A picture whose outermost pixels are not noisy: smoothed where they are. */
function withoutNoise(picture: Small): Small {
  const smooth = smoothed(picture);
  const apart = picture.values.map((value, i) => Math.abs(value - smooth.values[i]!));
  const ring = outermost({ ...picture, values: apart });
  return ring.reduce((sum, value) => sum + value, 0) / ring.length > NOISE ? smooth : picture;
}

/** A plane at about `side` pixels, from means of 2 x 2 samples, so that noise counts for less. */
export function thumbnail(picture: Plane, side: number): Plane {
  const { width, height, values } = picture;
  const step = Math.max(1, roundHalfToEven(Math.max(width, height) / side / 2));
  const [columns, rows] = [Math.ceil(width / step), Math.ceil(height / step)];
  const at = (x: number, y: number) => values[y * step * width + x * step]!;
  const fine = Math.max(columns, rows) >= 1.5 * side;
  const [across, down] = fine ? [columns >> 1, rows >> 1] : [columns, rows];
  const result = new Float32Array(across * down);
  for (let y = 0, i = 0; y < down; y++) {
    for (let x = 0; x < across; x++, i++) {
      if (!fine) {
        result[i] = at(x, y);
        continue;
      }
      const diagonal = Math.fround(at(2 * x, 2 * y) + at(2 * x + 1, 2 * y + 1));
      result[i] = Math.fround(Math.fround(diagonal + at(2 * x + 1, 2 * y)) + at(2 * x, 2 * y + 1)) / 4;
    }
  }
  return { width: across, height: down, values: result };
}

/**
 * The field within the surround of one gray, or of two, of a picture in [0, 1].
 *
 * @param inner the picture is what another surround enclosed. Then one gray must be nearly all around, and edges be
 * straight.
 */
function fieldOfLayer(picture: Small, inner: boolean): Field | null {
  const surrounds = levels(picture).map((level) => surroundOf(picture, level));
  if (surrounds.length === 2 && !inner) surrounds.push(surrounds[0]!.map((inside, i) => inside | surrounds[1]![i]!));
  let [best, most] = [null as Field | null, 0];
  for (const surround of surrounds) {
    if (shareOutermost({ ...picture, values: surround }) < (inner ? INNER_RING : RING)) continue;
    const film = { ...picture, values: surround.map((inside) => 1 - inside) };
    const field = fitted(picture, film, !inner);
    if (!field) continue;
    const cut = surround.length - field.width * field.height;
    if (cut > most) [best, most] = [field, cut];
  }
  return best;
}

/** The part of a picture in `field`, upright, at about one sample a pixel; beyond the picture its edge. */
function sampled(picture: Small, field: Field): Small {
  const [width, height] = [field.width, field.height].map((side) => Math.max(1, roundHalfToEven(side))) as Sides;
  const { cosine, sine } = field;
  const values = like(picture.values, width * height);
  const place = (value: number, limit: number) => Math.min(Math.max(Math.floor(value), 0), limit - 1);
  for (let row = 0, i = 0; row < height; row++) {
    const y = ((row + 0.5) * field.height) / height;
    for (let column = 0; column < width; column++, i++) {
      const x = ((column + 0.5) * field.width) / width;
      const across = place(field.x + x * cosine - y * sine, picture.width);
      const down = place(field.y + x * sine + y * cosine, picture.height);
      values[i] = picture.values[down * picture.width + across]!;
    }
  }
  return { width, height, values } satisfies Grid;
}

type Sides = [number, number];
