/** How a canonical film came about, and the way back: `Record` of scripts/films/canonical.py. */

import type { Plane } from "../film/film";
import type { Field } from "./field";
import { part } from "./grid";
import { HALF, IDENTITY, inverse, type Matrix, moved, type Point, product, roundHalfToEven, shift } from "./matrix";
import { resized, warped } from "./pillow";
import type { Pose } from "./pose";

/** What is decided by looking, or is for a person to decide. */
export type FilmFlag = "turned_by_content" | "inverted_by_content" | "heart_on_the_right";

/** What had to be done to a film, by the number of its pose. */
const POSE_NAMES = [
  "upright",
  "mirrored",
  "turned upside down and mirrored",
  "turned by 180 degrees",
  "mirrored about its diagonal",
  "turned clockwise",
  "turned counterclockwise",
  "mirrored about its other diagonal",
];

/** Where these came from. */
export interface Sources {
  values: string;
  pose: string;
  spacing: string;
  field: string;
}

interface Known {
  /** Of the stored film in pixels. */
  height: number;
  width: number;
  /** What made it upright. */
  pose: Pose;
  /** Height of the upright film with square pixels. */
  rows: number;
  /** Width of the same. */
  columns: number;
  /** The part of that which was exposed, in its pixels; null is all of it. */
  field: Field | null;
  /** Whether polarity was changed on top of what the file says. */
  inverted: boolean;
  flags: readonly FilmFlag[];
  sources: Sources;
}

export interface FilmRecord extends Readonly<Known> {}

export class FilmRecord {
  constructor(known: Known) {
    Object.assign(this, known);
  }

  with(changes: Partial<Known>): FilmRecord {
    return new FilmRecord({ ...this, ...changes });
  }

  /** The record of all of the upright film, whatever was exposed. */
  get whole(): FilmRecord {
    return this.with({ field: null });
  }

  /** Width and height of the canonical film. */
  get size(): [number, number] {
    if (!this.field) return [this.columns, this.rows];
    if (this.field.angle === 0) {
      const [left, top, right, bottom] = this.cut(this.field);
      return [right - left, bottom - top];
    }
    const side = (length: number) => Math.max(1, roundHalfToEven(length));
    return [side(this.field.width), side(this.field.height)];
  }

  /** First column and row of an upright field, and those after the last. */
  private cut(field: Field): [number, number, number, number] {
    const within = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);
    const left = within(roundHalfToEven(field.x), 0, this.columns - 1);
    const top = within(roundHalfToEven(field.y), 0, this.rows - 1);
    const right = Math.min(Math.max(roundHalfToEven(field.x + field.width), left + 1), this.columns);
    const bottom = Math.min(Math.max(roundHalfToEven(field.y + field.height), top + 1), this.rows);
    return [left, top, right, bottom];
  }

  /** Height and width of the film upright, before its pixels became square. */
  private get turned(): [number, number] {
    return this.pose.transpose ? [this.width, this.height] : [this.height, this.width];
  }

  /** From (x, y, 1) of the canonical film to those of the stored one. */
  toStored(): Matrix {
    const [height, width] = this.turned;
    const [across, down] = [width / this.columns, height / this.rows];
    const square: Matrix = [
      [across, 0, across / 2 - 0.5],
      [0, down, down / 2 - 0.5],
      [0, 0, 1],
    ];
    return product(this.pose.toStored(this.height, this.width), square, this.fromField());
  }

  /** From (x, y, 1) of the canonical film to those of the upright one. */
  fromField(): Matrix {
    const { field } = this;
    if (!field) return IDENTITY;
    if (field.angle === 0) {
      const [left, top] = this.cut(field);
      return shift(left, top);
    }
    const { cosine, sine, x, y } = field;
    const turn: Matrix = [
      [cosine, -sine, x],
      [sine, cosine, y],
      [0, 0, 1],
    ];
    return product(inverse(HALF), turn, HALF);
  }

  /** An upright film with square pixels. */
  squared(upright: Plane): Plane {
    return resized(upright, this.rows, this.columns);
  }

  /**
   * Bring values in the file's pixel order, such as a mask, into the canonical film.
   *
   * @param outside what stands where a turned field reaches out of the picture.
   */
  apply(stored: Plane, outside = 0): Plane {
    const upright = this.squared(this.pose.upright(stored));
    if (!this.field) return upright;
    if (this.field.angle === 0) return part(upright, ...this.cut(this.field));
    return warped(upright, this.fromField(), this.size, outside);
  }

  /** Bring values of the canonical film, such as probabilities, into the file's own pixel order; 0 outside the field. */
  restore(canonical: Plane): Plane {
    const [height, width] = this.turned;
    return this.pose.stored(resized(this.placed(canonical), height, width));
  }

  /** Values of the canonical film where the field lies in the upright one. */
  private placed(canonical: Plane): Plane {
    if (!this.field) return canonical;
    const { columns, rows } = this;
    if (this.field.angle !== 0) return warped(canonical, inverse(this.fromField()), [columns, rows], 0);
    const [left, top] = this.cut(this.field);
    const upright = new Float32Array(columns * rows);
    for (let y = 0; y < canonical.height; y++) {
      const row = canonical.values.subarray(y * canonical.width, (y + 1) * canonical.width);
      upright.set(row, (top + y) * columns + left);
    }
    return { width: columns, height: rows, values: upright };
  }

  /** Where "values", "pose", "spacing" and "field" came from and what they are, for people. */
  described(): Sources {
    const told = { ...this.sources, pose: `${POSE_NAMES[this.pose.number]} (${this.sources.pose})` };
    if (this.field) {
      const corners = this.storedCorners().map((corner) => corner.map(roundHalfToEven).join(","));
      told.field = `${told.field}: ${corners.join(" ")}`;
    }
    return told;
  }

  /** Corners [x, y] of the field in the file's own pixels, from the canonical film's upper left clockwise. */
  storedCorners(): Point[] {
    const [width, height] = this.size;
    const matrix = this.toStored();
    return ([[0, 0], [width, 0], [width, height], [0, height]] as Point[]).map(([x, y]): Point => {
      const [column, row] = moved(matrix, [x - 0.5, y - 0.5]);
      return [column + 0.5, row + 0.5];
    });
  }
}
