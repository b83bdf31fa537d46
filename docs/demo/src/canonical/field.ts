/** Where a film was exposed: `Field` of scripts/films/exposed_field.py. */

import { STEP } from "./exposed_field_numbers";
import type { Point } from "./matrix";

const radians = (degrees: number) => degrees * (Math.PI / 180);

/** A rectangle of a picture in pixels, whose outer edges are at 0 and at width or height. */
export class Field {
  /**
   * @param x of its upper left corner.
   * @param y likewise.
   * @param width of its upper and lower side.
   * @param height of its left and right side.
   * @param angle by how many degrees it is turned clockwise about that corner.
   */
  constructor(
    readonly x: number,
    readonly y: number,
    readonly width: number,
    readonly height: number,
    readonly angle = 0,
  ) {}

  /** The field with four corners in any order around it; upright where it is nearly so. */
  static ofCorners(corners: readonly Point[]): Field {
    const mean = (axis: 0 | 1) => corners.reduce((sum, corner) => sum + corner[axis], 0) / corners.length;
    const [centreX, centreY] = [mean(0), mean(1)];
    const direction = ([x, y]: Point) => Math.atan2(y - centreY, x - centreX);
    const ordered = [...corners].sort((a, b) => direction(a) - direction(b)); // clockwise on a picture
    const sums = ordered.map(([x, y]) => x + y);
    const start = sums.indexOf(Math.min(...sums));
    const at = (step: number) => ordered[(start + step) % ordered.length]!;
    const [[ax, ay], [bx, by], [dx, dy]] = [at(0), at(1), at(3)];
    const angle = Math.atan2(by - ay, bx - ax) * (180 / Math.PI);
    if (Math.abs(angle) < STEP / 2) {
      const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
      const [left, top] = [Math.min(...xs), Math.min(...ys)];
      return new Field(left, top, Math.max(...xs) - left, Math.max(...ys) - top);
    }
    return new Field(ax, ay, Math.hypot(bx - ax, by - ay), Math.hypot(dx - ax, dy - ay), angle);
  }

  get cosine(): number {
    return Math.cos(radians(this.angle));
  }

  get sine(): number {
    return Math.sin(radians(this.angle));
  }

  /** Its corners, clockwise from the upper left one. */
  get corners(): [Point, Point, Point, Point] {
    const { x, y, width, height, cosine, sine } = this;
    const [right, down]: [Point, Point] = [
      [cosine * width, sine * width],
      [-sine * height, cosine * height],
    ];
    return [
      [x, y],
      [x + right[0], y + right[1]],
      [x + right[0] + down[0], y + right[1] + down[1]],
      [x + down[0], y + down[1]],
    ];
  }

  /** The field of a picture that is `x` times as wide and `y` times as high. */
  scaled(x: number, y: number): Field {
    if (this.angle === 0) return new Field(this.x * x, this.y * y, this.width * x, this.height * y);
    return Field.ofCorners(this.corners.map(([column, row]): Point => [column * x, row * y]));
  }

  /** This field, given in the pixels of `outer`, in the pixels of the picture that `outer` lies in. */
  inside(outer: Field): Field {
    const { cosine, sine } = outer;
    const x = outer.x + this.x * cosine - this.y * sine;
    const y = outer.y + this.x * sine + this.y * cosine;
    return new Field(x, y, this.width, this.height, this.angle + outer.angle);
  }
}
