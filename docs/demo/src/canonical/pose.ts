/**
 * The eight poses in which a film may be stored, and what DICOM and EXIF say of them: scripts/films/pose.py.
 *
 * Upright is as a radiologist hangs a frontal film: columns run to the patient's left, rows to the feet.
 */

import { type Grid, like, type Numbers } from "./grid";
import type { Matrix } from "./matrix";

/** What makes a stored film upright: first transpose, then flip. */
export class Pose {
  /**
   * @param transpose rows become columns.
   * @param flipRows upside down, after the transposition.
   * @param flipColumns left and right change sides, after the transposition.
   */
  constructor(
    readonly transpose = false,
    readonly flipRows = false,
    readonly flipColumns = false,
  ) {}

  /** The pose of `number` 0 to 7; 0 is upright. */
  static numbered(number: number): Pose {
    return new Pose(Boolean(number & 4), Boolean(number & 2), Boolean(number & 1));
  }

  get number(): number {
    return 4 * Number(this.transpose) + 2 * Number(this.flipRows) + Number(this.flipColumns);
  }

  /** Whether a mirror is needed, rather than a turn. */
  get mirrors(): boolean {
    return (Number(this.transpose) ^ Number(this.flipRows) ^ Number(this.flipColumns)) === 1;
  }

  equals(other: Pose): boolean {
    return this.number === other.number;
  }

  /** Values upright; the same object where nothing needs to be done. */
  upright<Values extends Numbers>(stored: Grid<Values>): Grid<Values> {
    if (this.number === 0) return stored;
    const [width, height] = this.transpose ? [stored.height, stored.width] : [stored.width, stored.height];
    const values = like(stored.values, stored.values.length);
    this.visit(width, height, (upright, place) => (values[upright] = stored.values[place]!));
    return { width, height, values };
  }

  /** Undo `upright`. */
  stored<Values extends Numbers>(upright: Grid<Values>): Grid<Values> {
    if (this.number === 0) return upright;
    const { width, height } = upright;
    const values = like(upright.values, upright.values.length);
    this.visit(width, height, (from, place) => (values[place] = upright.values[from]!));
    return this.transpose ? { width: height, height: width, values } : { width, height, values };
  }

  /** Call with the index of each pixel of an upright film of `width` x `height`, and with its index as stored. */
  private visit(width: number, height: number, call: (upright: number, stored: number) => void): void {
    const storedWidth = this.transpose ? height : width;
    const [across, down] = this.transpose ? [storedWidth, 1] : [1, storedWidth];
    for (let y = 0, i = 0; y < height; y++) {
      const row = (this.flipRows ? height - 1 - y : y) * down;
      for (let x = 0; x < width; x++, i++) call(i, row + (this.flipColumns ? width - 1 - x : x) * across);
    }
  }

  /** The pose that does this, then `other`. */
  then(other: Pose): Pose {
    // Flips before a transposition are the other ones after it
    const [rows, columns] = other.transpose ? [this.flipColumns, this.flipRows] : [this.flipRows, this.flipColumns];
    return new Pose(this.transpose !== other.transpose, rows !== other.flipRows, columns !== other.flipColumns);
  }

  /** From (x, y, 1) of the upright film to (x, y, 1) of the stored one of `height` x `width` pixels. */
  toStored(height: number, width: number): Matrix {
    const [rows, columns] = this.transpose ? [width, height] : [height, width];
    const across: Matrix[0] = this.flipColumns ? [-1, 0, columns - 1] : [1, 0, 0];
    const down: Matrix[0] = this.flipRows ? [0, -1, rows - 1] : [0, 1, 0];
    return this.transpose ? [down, across, [0, 0, 1]] : [across, down, [0, 0, 1]];
  }
}

export const UPRIGHT = new Pose();
/** EXIF 2.32, 4.6.4 A: what Orientation 1 to 8 asks of a viewer. */
const EXIF_POSES = [0, 1, 3, 2, 4, 5, 7, 6];

/** The pose that an EXIF Orientation asks for, or null where it is no number from 1 to 8. */
export function poseOfExif(orientation: number | null): Pose | null {
  const number = orientation === null ? undefined : EXIF_POSES[orientation - 1];
  return number === undefined ? null : Pose.numbered(number);
}

/**
 * The pose of a film whose columns and rows run to these sides of the patient: R, L, H or F.
 *
 * @param columns where the number of the column grows.
 * @param rows where the number of the row grows.
 * @returns null where they do not name one side across and one along the patient.
 */
export function poseOfDirections(columns: string, rows: string): Pose | null {
  const [across, along] = [(side: string) => /^[LR]$/.test(side), (side: string) => /^[HF]$/.test(side)];
  if (across(columns) && along(rows)) return new Pose(false, rows === "H", columns === "R");
  if (along(columns) && across(rows)) return new Pose(true, columns === "H", rows === "R");
  return null;
}
