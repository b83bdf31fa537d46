/** The exposed field as a DICOM header states it (PS3.3, C.8.7.3 and C.7.6.11): scripts/films/dicom_field.py. */

import { extent } from "../../canonical/grid";
import type { Point } from "../../canonical/matrix";
import type { StoredFilm } from "../film";
import type { Dataset, Keyword } from "./dataset";

const LEAST = 0.1; // share of the picture that a field must have to be believed
type Blind = "Shutter" | "Collimator";

/**
 * Corners [x, y] in pixels of what the file says was exposed or shall be shown, and the attribute; null where it says
 * nothing, or no field of its own.
 *
 * Several shapes count together, by the upright rectangle around each; one polygon of four corners may be turned. What
 * does not fit the picture, as where it was scaled after the header was written, is not believed.
 */
export function collimation(dataset: Dataset): Pick<StoredFilm, "collimation" | "collimationSource"> {
  const [height, width] = [dataset.number("Rows")!, dataset.number("Columns")!];
  for (const name of ["Shutter", "Collimator"] as const) {
    const kinds = dataset.strings(`${name}Shape`);
    const shapes = kinds.map((kind) => shapeOf(dataset, name, kind)).filter((shape) => shape.length);
    if (!shapes.length || !shapes.every((shape) => within(shape, height, width))) continue;
    const corners = (shapes.length === 1 && shapes[0]!.length === 4 ? shapes[0]! : common(shapes)).map(
      ([x, y]): Point => [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)],
    );
    const side = (from: number) => distance(corners[from]!, corners[from + 1]!);
    if (side(0) * side(1) >= LEAST * height * width) {
      return { collimation: corners, collimationSource: `${name}Shape` };
    }
  }
  return { collimation: null, collimationSource: "" };
}

function distance([x0, y0]: Point, [x1, y1]: Point): number {
  return Math.hypot(x1 - x0, y1 - y0);
}

/** Corners of what lies in the upright rectangles around all shapes. */
function common(shapes: Point[][]): Point[] {
  const extents = [0, 1].map((axis) => shapes.map((shape) => extent(shape.map((corner) => corner[axis]!))));
  const [left, top] = extents.map((sides) => Math.max(...sides.map(([low]) => low))) as Point;
  const [right, bottom] = extents.map((sides) => Math.min(...sides.map(([, high]) => high))) as Point;
  return rectangle(left, top, right, bottom);
}

function rectangle(left: number, top: number, right: number, bottom: number): Point[] {
  return [
    [left, top],
    [right, top],
    [right, bottom],
    [left, bottom],
  ];
}

/** Corners of one shape; pixels are counted from 1, edges belong to the field. None where it is not whole. */
function shapeOf(dataset: Dataset, name: Blind, kind: string): Point[] {
  const single = (keyword: Keyword) => {
    const values = dataset.numbers(keyword);
    return values.length === 1 ? values[0]! : NaN;
  };
  const whole = (points: Point[]) => (points.flat().every((value) => !Number.isNaN(value)) ? points : []);
  if (kind === "RECTANGULAR") {
    const sorted = (a: number, b: number): Point => [Math.min(a, b), Math.max(a, b)];
    const [left, right] = sorted(single(`${name}LeftVerticalEdge`), single(`${name}RightVerticalEdge`));
    const [top, bottom] = sorted(single(`${name}UpperHorizontalEdge`), single(`${name}LowerHorizontalEdge`));
    return whole(rectangle(left - 1, top - 1, right, bottom));
  }
  if (kind === "CIRCULAR") {
    const centre = dataset.numbers(`CenterOfCircular${name}`);
    const radius = single(`RadiusOfCircular${name}`);
    if (centre.length !== 2) return [];
    const [row, column] = [centre[0]! - 0.5, centre[1]! - 0.5];
    return whole(rectangle(column - radius, row - radius, column + radius, row + radius));
  }
  if (kind === "POLYGONAL") {
    const numbers = dataset.numbers(`VerticesOfThePolygonal${name}`);
    if (numbers.length % 2) return [];
    const vertices = Array.from(
      { length: numbers.length / 2 },
      (_, i): Point => [numbers[2 * i + 1]! - 0.5, numbers[2 * i]! - 0.5],
    );
    const last = vertices.at(-1);
    const closed = vertices.length > 3 && distance(vertices[0]!, last!) === 0;
    return whole(closed ? vertices.slice(0, -1) : vertices);
  }
  return [];
}

/**
 * Whether the shape lies in the picture, with two pixels to spare for other ways of counting.
 *
 * A circle may reach beyond: its rectangle is what is exposed of it.
 */
function within(corners: Point[], height: number, width: number): boolean {
  const middle: Point = [width / 2, height / 2];
  const each = (test: (axis: number) => boolean) => [0, 1].every(test);
  const fits = each((axis) => corners.every((corner) => Math.abs(corner[axis]! - middle[axis]!) <= middle[axis]! + 2));
  const central = each((axis) => {
    const centre = corners.reduce((sum, corner) => sum + corner[axis]!, 0) / corners.length;
    return Math.abs(centre - middle[axis]!) <= 1e-8 + 0.2 * middle[axis]!;
  });
  return fits || (corners.length === 4 && central);
}
