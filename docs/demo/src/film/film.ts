/** One channel of grays, row by row. */
export interface Plane {
  width: number;
  height: number;
  values: Float32Array;
}

/** A radiograph as it is meant to be displayed: bone bright. */
export interface Film extends Plane {
  /** [row, column] in mm, where the file says it. */
  spacing: [number, number] | null;
  /** The attribute that states the spacing, or "". */
  spacingSource: string;
  /** DICOM's PatientOrientation, such as "L\F", or "". */
  orientation: string;
}

/** Bad input. The message is one line: it names the file and what is wrong with it. */
export class FilmError extends Error {
  override name = "FilmError";
}

/** Pillow's limit against files that claim more pixels than any film has. */
export const MOST_PIXELS = 178_956_970;

/** Throw unless a film of this size can be worked on. */
export function checkSize(name: string, width: number, height: number): void {
  if (!(width > 0 && height > 0)) throw new FilmError(`${name}: has no pixels (${width} x ${height})`);
  if (width * height > MOST_PIXELS) {
    throw new FilmError(`${name}: ${width} x ${height} pixels are more than this page can hold`);
  }
}

/** A film of a file that states neither spacing nor orientation. */
export function plainFilm(width: number, height: number, values: Float32Array): Film {
  return { width, height, values, spacing: null, spacingSource: "", orientation: "" };
}
