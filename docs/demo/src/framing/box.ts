import { FilmError } from "../film/film";
import type { Inside } from "./frame";

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

/** Bring a box into an image and keep it at least two pixels wide and high, in float32 as the network takes it. */
export function clipBox([x0, y0, x1, y1]: Box, width: number, height: number): Box {
  const side = (a: number, b: number, limit: number): [number, number] => {
    const low = Math.min(Math.max(Math.min(a, b), 0), limit - 2);
    return [low, Math.min(Math.max(Math.max(a, b), low + 2), limit)];
  };
  const [left, right] = side(x0, x1, width);
  const [top, bottom] = side(y0, y1, height);
  return [left, top, right, bottom].map(Math.fround) as Box;
}

/** A box of the film in pixels of the network's input: carried through `crop` and `letterbox`. */
export function boxInFrame(box: Box, inside: Inside, size: number): Box {
  const [width, height] = [inside.right - inside.left, inside.bottom - inside.top];
  const [x0, y0, x1, y1] = box.map(Math.fround) as Box;
  const { left, top } = inside;
  const inner = clipBox([x0 - left, y0 - top, x1 - left, y1 - top], width, height);
  const scale = size / Math.max(width, height);
  return clipBox(inner.map((value) => value * scale) as Box, size, size);
}
