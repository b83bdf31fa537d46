import { roundHalfToEven } from "../canonical/matrix";
import type { Plane } from "../film/film";
import { antialiasedTaps, bilinearTaps, resample } from "./resample";

/** Width and height scaled so that the longer side is `size` pixels, each at least 1. */
export function fitLongest(width: number, height: number, size: number): [number, number] {
  const scale = size / Math.max(width, height);
  return [Math.max(1, roundHalfToEven(width * scale)), Math.max(1, roundHalfToEven(height * scale))];
}

/** Scale the longer side to `size` and pad right and bottom with zeros, as SAM frames its inputs: `Letterboxd`. */
export function letterbox(plane: Plane, size: number): Plane {
  const [width, height] = fitLongest(plane.width, plane.height, size);
  const same = width === plane.width && height === plane.height;
  const inner = same
    ? plane
    : resample(plane, antialiasedTaps(plane.width, width), antialiasedTaps(plane.height, height));
  const values = new Float32Array(size * size);
  for (let y = 0; y < height; y++) values.set(inner.values.subarray(y * width, (y + 1) * width), y * size);
  return { width: size, height: size, values };
}

/** Undo `letterbox` of a plane of `width` x `height`: crop and scale back bilinearly. */
export function unletterbox(framed: Plane, width: number, height: number): Plane {
  const size = framed.width;
  const [innerWidth, innerHeight] = fitLongest(width, height, size);
  const inner: Plane = { width: innerWidth, height: innerHeight, values: new Float32Array(innerWidth * innerHeight) };
  for (let y = 0; y < innerHeight; y++) {
    inner.values.set(framed.values.subarray(y * size, y * size + innerWidth), y * innerWidth);
  }
  if (innerWidth === width && innerHeight === height) return inner;
  return resample(inner, bilinearTaps(innerWidth, width), bilinearTaps(innerHeight, height));
}
