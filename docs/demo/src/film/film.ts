import type { Point } from "../canonical/matrix";
import type { Pose } from "../canonical/pose";

/** One channel of grays, row by row. */
export interface Plane {
  width: number;
  height: number;
  values: Float32Array;
}

/** A film as its file holds it, in the file's own pixel order, and what the file says of it: scripts/films/film.py. */
export interface StoredFilm extends Plane {
  /** Which of the file's words the grays follow, such as "window 1". They are bright where bone is, as far as known. */
  valuesSource: string;
  /** Whether the file says which end is bright. */
  polarityKnown: boolean;
  /** What makes the film upright, or null where the file does not say. */
  pose: Pose | null;
  /** The attribute that says so, or "". */
  poseSource: string;
  /** [row, column] in mm, where the file says it. */
  spacing: [number, number] | null;
  spacingSource: string;
  /** Height of a pixel over its width. */
  aspect: number;
  aspectSource: string;
  /** Corners [x, y] of the exposed field in pixels of the file, or null. */
  collimation: Point[] | null;
  collimationSource: string;
}

/** Bad input. The message is one line: it names the file and what is wrong with it. */
export class FilmError extends Error {
  override name = "FilmError";
}

/** Larger films are refused, as scripts/films/limits.py does. */
export const MAX_PIXELS = 80_000_000;

/** Throw unless a film of this shape can be worked on. */
export function checkPixels(name: string, ...shape: number[]): void {
  const sides = shape.join(" x ");
  if (!(Math.min(...shape) >= 1)) throw new FilmError(`${name}: cannot be read as an image (its size is ${sides})`);
  const count = shape.reduce((product, side) => product * side, 1);
  if (count > MAX_PIXELS) {
    throw new FilmError(
      `${name}: too large, ${sides} are ${Math.round(count / 1e6)} million pixels, at most ` +
        `${MAX_PIXELS / 1e6} million are read; scale it down`,
    );
  }
}

/** A film of a file that says nothing but what is `known`. */
export function storedFilm(plane: Plane, known: Partial<StoredFilm> = {}): StoredFilm {
  return {
    valuesSource: "as stored",
    polarityKnown: false,
    pose: null,
    poseSource: "",
    spacing: null,
    spacingSource: "",
    aspect: 1,
    aspectSource: "",
    collimation: null,
    collimationSource: "",
    ...known,
    ...plane,
  };
}
