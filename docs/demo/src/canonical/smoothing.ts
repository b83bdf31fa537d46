import { type Grid } from "./grid";

/** `scipy.ndimage.uniform_filter` of a picture in [0, 1] over 3 x 3 pixels; what lies beyond the edge is mirrored. */
export function smoothed({ width, height, values }: Grid<Float64Array>): Grid<Float64Array> {
  const result = values.slice();
  for (let x = 0; x < width; x++) smoothLine(result, x, width, height);
  for (let y = 0; y < height; y++) smoothLine(result, y * width, 1, width);
  // Running sums end a hair below 0, which no histogram counts
  return { width, height, values: result.map((value) => Math.min(Math.max(value, 0), 1)) };
}

/** Means of three along a line of `count` numbers, `step` apart, carried on as SciPy does. */
function smoothLine(values: Float64Array, start: number, step: number, count: number): void {
  const line = Float64Array.from({ length: count }, (_, i) => values[start + i * step]!);
  const at = (i: number) => line[Math.min(Math.max(i, 0), count - 1)]!;
  let mean = (at(-1) + at(0) + at(1)) / 3;
  values[start] = mean;
  for (let i = 1; i < count; i++) {
    mean += (at(i + 1) - at(i - 2)) / 3;
    values[start + i * step] = mean;
  }
}
