/** `Image.resize` and `Image.transform` of Pillow for pictures of mode "F". */

import type { Plane } from "../film/film";
import { resample, type Tap } from "../framing/resample";
import { HALF, inverse, type Matrix, product } from "./matrix";

const { fround } = Math;

/** How much a source pixel counts, by its distance from the middle in pixels of the coarser picture; 0 from `support`. */
interface Filter {
  support: number;
  weight: (distance: number) => number;
}

const BILINEAR: Filter = { support: 1, weight: (distance) => Math.max(0, 1 - Math.abs(distance)) };
const BOX: Filter = { support: 0.5, weight: (distance) => Number(distance > -0.5 && distance <= 0.5) };

function taps(source: number, target: number, { support, weight }: Filter): Tap[] {
  const scale = source / target;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  return Array.from({ length: target }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(center - reach + 0.5), 0);
    const last = Math.min(Math.trunc(center + reach + 0.5), source);
    const weights = new Float64Array(last - first);
    let total = 0;
    for (let j = 0; j < weights.length; j++) {
      weights[j] = weight((j + first - center + 0.5) * (1 / stretch));
      total += weights[j]!;
    }
    return { first, weights: weights.map((share) => share * (1 / total)) };
  });
}

function resizedBy(filter: Filter, plane: Plane, height: number, width: number): Plane {
  if (plane.width === width && plane.height === height) return plane;
  return resample(plane, taps(plane.width, width, filter), taps(plane.height, height, filter));
}

/** A plane at another size: bilinear, with antialiasing where it shrinks. */
export function resized(plane: Plane, height: number, width: number): Plane {
  return resizedBy(BILINEAR, plane, height, width);
}

/** A plane at another size, each pixel the mean of those that it covers. */
export function averaged(plane: Plane, height: number, width: number): Plane {
  return resizedBy(BOX, plane, height, width);
}

/**
 * A plane sampled bilinearly at `matrix` * (x, y, 1) of each pixel of another one.
 *
 * @param size width and height of the result.
 * @param outside what stands where the place is none of the plane.
 */
export function warped(plane: Plane, matrix: Matrix, [width, height]: [number, number], outside: number): Plane {
  const [[a, b, c], [d, e, f]] = product(HALF, matrix, inverse(HALF)); // Pillow counts from the corner of a pixel
  const result = new Float32Array(width * height).fill(outside);
  const { values } = plane;
  const [right, bottom] = [plane.width - 1, plane.height - 1];
  const between = (low: number, high: number, share: number) => low + fround(high - low) * share;
  for (let row = 0, i = 0; row < height; row++) {
    for (let column = 0; column < width; column++, i++) {
      const [across, down] = [column + 0.5, row + 0.5];
      const [placeX, placeY] = [a * across + b * down + c, d * across + e * down + f];
      if (placeX < 0 || placeX >= plane.width || placeY < 0 || placeY >= plane.height) continue;
      const [x, y] = [Math.floor(placeX - 0.5), Math.floor(placeY - 0.5)];
      const [dx, dy] = [placeX - 0.5 - x, placeY - 0.5 - y];
      const [left, next] = [x < 0 ? 0 : x, x < right ? x + 1 : right];
      const upper = (y < 0 ? 0 : y) * plane.width;
      const above = between(values[upper + left]!, values[upper + next]!, dx);
      if (y + 1 > bottom) {
        result[i] = above;
        continue;
      }
      const lower = (y + 1) * plane.width;
      const below = between(values[lower + left]!, values[lower + next]!, dx);
      result[i] = above + (below - above) * dy;
    }
  }
  return { width, height, values: result };
}
