/** What lies within a black, white or gray surround, upright or slightly turned: scripts/films/exposed_field.py. */

import type { Plane } from "../film/film";
import { BLUR, LAYERS, LEAST, SIDE, SMALLEST } from "./exposed_field_numbers";
import { Field } from "./field";
import { fitted } from "./fitting";
import { type Grid, like } from "./grid";
import { roundHalfToEven } from "./matrix";
import { percentile } from "./statistics";
import { hasFlatRing, levels, type Small, surroundOf } from "./surround";

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
  const small: Small = { ...samples, values: scaled };
  const whole = new Field(0, 0, small.width, small.height);
  let [found, view] = [whole, small];
  for (let layer = 0; layer < LAYERS; layer++) {
    const inner = fieldOfLayer(view);
    if (!inner) break;
    found = inner.inside(found);
    // Edges are blurred, which would hide the next surround
    view = sampled(small, new Field(BLUR, BLUR, found.width - 2 * BLUR, found.height - 2 * BLUR).inside(found));
    if (Math.min(view.width, view.height) < SMALLEST || !hasFlatRing(view)) break;
  }
  if (found === whole || found.width * found.height < LEAST * small.width * small.height) return null;
  return found.scaled(width / small.width, height / small.height);
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

/** The field within the surround of one gray, or of two, of a picture in [0, 1]. */
function fieldOfLayer(picture: Small): Field | null {
  const surrounds = levels(picture).map((level) => surroundOf(picture, level));
  if (surrounds.length === 2) surrounds.push(surrounds[0]!.map((inside, i) => inside | surrounds[1]![i]!));
  let [best, most] = [null as Field | null, 0];
  for (const surround of surrounds) {
    const film = { ...picture, values: surround.map((inside) => 1 - inside) };
    const field = fitted(picture, film);
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
