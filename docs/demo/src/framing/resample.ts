import type { Plane } from "../film/film";

/** Weights of the source pixels from `first` on that make up one target pixel. */
export interface Tap {
  first: number;
  weights: Float64Array;
}

/**
 * Taps of torch's `interpolate(mode="bilinear", antialias=True)` along one axis: a triangle as wide as a target pixel is
 * in the source, or two source pixels where the target is finer.
 */
export function antialiasedTaps(source: number, target: number): Tap[] {
  const scale = source / target;
  const support = Math.max(scale, 1);
  return Array.from({ length: target }, (_, i) => {
    const center = scale * (i + 0.5);
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const last = Math.min(Math.trunc(center + support + 0.5), source);
    const weights = new Float64Array(last - first);
    let total = 0;
    for (let j = 0; j < weights.length; j++) {
      weights[j] = Math.max(0, 1 - Math.abs((j + first - center + 0.5) / support));
      total += weights[j]!;
    }
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

/** Taps of torch's `interpolate(mode="bilinear")` with unaligned corners along one axis: two neighbours. */
export function bilinearTaps(source: number, target: number): Tap[] {
  const scale = source / target;
  return Array.from({ length: target }, (_, i) => {
    const place = Math.max(scale * (i + 0.5) - 0.5, 0);
    const first = Math.min(Math.trunc(place), source - 1);
    const share = place - first;
    return { first, weights: first < source - 1 ? Float64Array.of(1 - share, share) : Float64Array.of(1) };
  });
}

/** Resample a plane with the taps of its columns, then of its rows. */
export function resample(plane: Plane, columns: Tap[], rows: Tap[]): Plane {
  const { width, height, values } = plane;
  const [newWidth, newHeight] = [columns.length, rows.length];
  const narrow = new Float32Array(newWidth * height);
  for (let x = 0; x < newWidth; x++) {
    const { first, weights } = columns[x]!;
    for (let y = 0; y < height; y++) {
      let sum = 0;
      for (let j = 0, at = y * width + first; j < weights.length; j++, at++) sum += values[at]! * weights[j]!;
      narrow[y * newWidth + x] = sum;
    }
  }
  const result = new Float32Array(newWidth * newHeight);
  const line = new Float64Array(newWidth);
  for (let y = 0; y < newHeight; y++) {
    const { first, weights } = rows[y]!;
    line.fill(0);
    for (let j = 0; j < weights.length; j++) {
      const weight = weights[j]!;
      for (let x = 0, at = (first + j) * newWidth; x < newWidth; x++, at++) line[x]! += narrow[at]! * weight;
    }
    result.set(line, y * newWidth);
  }
  return { width: newWidth, height: newHeight, values: result };
}
