import { inverse, type Matrix, moved, type Point } from "../canonical/matrix";
import type { FilmRecord } from "../canonical/record";
import { FilmError } from "../film/film";

/** [x0, y0, x1, y1] in pixels, x1 and y1 exclusive. */
export type Box = [number, number, number, number];

/** Throw unless `box` holds pixels and lies within the film. */
export function checkBox(box: Box, width: number, height: number): void {
  const [x0, y0, x1, y1] = box;
  const text = `box [${box.join(", ")}]`;
  if (!box.every(Number.isFinite)) throw new FilmError(`${text}: expected four numbers, in pixels of the film`);
  if (x1 <= x0 || y1 <= y0)
    throw new FilmError(`${text}: the right edge must be greater than the left, and the lower than the upper`);
  if (x0 < 0 || y0 < 0 || x1 > width || y1 > height) {
    throw new FilmError(`${text}: reaches out of the film of ${width} x ${height} pixels`);
  }
}

/** Bring a box into an image and keep it at least two pixels wide and high, or as large as the image is. */
export function clipBox([x0, y0, x1, y1]: Box, width: number, height: number): Box {
  const side = (a: number, b: number, limit: number): [number, number] => {
    const least = Math.min(2, limit);
    const low = Math.min(Math.max(Math.min(a, b), 0), limit - least);
    return [low, Math.min(Math.max(Math.max(a, b), low + least), limit)];
  };
  const [left, right] = side(x0, x1, width);
  const [top, bottom] = side(y0, y1, height);
  return [left, top, right, bottom].map(Math.fround) as Box; // as the network takes it
}

/**
 * Carry a box to where the pixels of its picture went: the upright box around it, as `carry_box` of
 * scripts/data/prompts.py.
 *
 * @param matrix from (x, y, 1) of the picture as it was to those of the one of `width` x `height` pixels.
 */
export function carryBox(box: Box, matrix: Matrix, width: number, height: number): Box {
  const [x0, y0, x1, y1] = box.map(Math.fround) as Box;
  const corners: Point[] = [
    [x0, y0],
    [x1, y0],
    [x0, y1],
    [x1, y1],
  ];
  const placed = corners.map(([x, y]) => moved(matrix, [x - 0.5, y - 0.5]).map((value) => value + 0.5) as Point);
  const [xs, ys] = [placed.map(([x]) => x), placed.map(([, y]) => y)];
  return clipBox([Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)], width, height);
}

/** A box of the upright film in pixels of the network's input: carried into the exposed field and through `letterbox`. */
export function boxInFrame(box: Box, record: FilmRecord, size: number): Box {
  const [width, height] = record.size;
  const inner = carryBox(box, inverse(record.fromField()), width, height);
  const scale = size / Math.max(width, height);
  return clipBox(inner.map((value) => value * scale) as Box, size, size);
}
