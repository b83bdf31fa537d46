import type { Plane } from "../film/film";

/** Part of a film in pixels; bottom and right are exclusive. */
export interface Inside {
  top: number;
  bottom: number;
  left: number;
  right: number;
}

const LEVEL = 0.97; // what counts as white, between the darkest and the brightest pixel
const SHARE = Math.fround(0.99); // of a line's pixels that must be white
const THINNEST = 0.02; // side of a frame, as a share of height or width, from which on it is cut off
const THICKEST = 0.5; // both sides together, beyond which nothing is cut

/**
 * What lies within a white frame that was burnt in around a film, as `CropFramed` finds it: edge lines that are white
 * from end to end.
 */
export function insideFrame({ width, height, values }: Plane): Inside {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const white = Math.fround(low + Math.fround(LEVEL * Math.fround(high - low)));
  const rows = new Uint32Array(height);
  const columns = new Uint32Array(width);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (values[i]! >= white) {
        rows[y]!++;
        columns[x]!++;
      }
    }
  }
  const [top, bottom] = span(rows, width);
  const [left, right] = span(columns, height);
  return { top, bottom, left, right };
}

/** First line and line after the last within the frame, by the number of white pixels of each line. */
function span(whites: Uint32Array, pixels: number): [number, number] {
  const length = whites.length;
  const isFilm = (count: number) => Math.fround(count / pixels) < SHARE;
  let [first, last] = [0, length - 1];
  while (first < length && !isFilm(whites[first]!)) first++;
  if (first === length) return [0, length];
  while (!isFilm(whites[last]!)) last--;
  const [before, after] = [first, length - 1 - last].map((side) => (side >= THINNEST * length ? side : 0)) as [
    number,
    number,
  ];
  return before + after <= THICKEST * length ? [before, length - after] : [0, length];
}

/** The part of a plane that `inside` names. */
export function crop({ width, values }: Plane, { top, bottom, left, right }: Inside): Plane {
  const inner = new Float32Array((bottom - top) * (right - left));
  for (let y = top, to = 0; y < bottom; y++, to += right - left) {
    inner.set(values.subarray(y * width + left, y * width + right), to);
  }
  return { width: right - left, height: bottom - top, values: inner };
}

/** Put a plane back where `crop` took it from, with zeros where the frame was. */
export function uncrop({ width, height, values }: Plane, { top, left }: Inside, size: [number, number]): Plane {
  const [fullWidth, fullHeight] = size;
  if (width === fullWidth && height === fullHeight) return { width, height, values };
  const full = new Float32Array(fullWidth * fullHeight);
  for (let y = 0; y < height; y++) {
    full.set(values.subarray(y * width, (y + 1) * width), (top + y) * fullWidth + left);
  }
  return { width: fullWidth, height: fullHeight, values: full };
}
