/** 3 x 3, row by row: takes (x, y, 1) to (x, y, 1). Whole numbers are the centres of pixels. */
export type Matrix = readonly [Row, Row, Row];
type Row = readonly [number, number, number];
export type Point = [number, number];

export const IDENTITY: Matrix = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
];

/** From a pixel's centre to its corner, from where Pillow and boxes count. */
export const HALF: Matrix = shift(0.5, 0.5);

export function shift(x: number, y: number): Matrix {
  return [
    [1, 0, x],
    [0, 1, y],
    [0, 0, 1],
  ];
}

/** What does the last matrix first. */
export function product(...matrices: Matrix[]): Matrix {
  return matrices.reduce((a, b) => {
    const at = (i: number, j: number) => a[i]![0] * b[0][j]! + a[i]![1] * b[1][j]! + a[i]![2] * b[2][j]!;
    const row = (i: number): Row => [at(i, 0), at(i, 1), at(i, 2)];
    return [row(0), row(1), row(2)];
  });
}

/** Undo `matrix`, whose last row is 0, 0, 1. */
export function inverse([[a, b, c], [d, e, f]]: Matrix): Matrix {
  const determinant = a * e - b * d;
  const [across, down] = [
    [e / determinant, -b / determinant],
    [-d / determinant, a / determinant],
  ] as [Point, Point];
  return [
    [...across, -(across[0] * c + across[1] * f)],
    [...down, -(down[0] * c + down[1] * f)],
    [0, 0, 1],
  ];
}

export function moved(matrix: Matrix, [x, y]: Point): Point {
  const [[a, b, c], [d, e, f]] = matrix;
  return [a * x + b * y + c, d * x + e * y + f];
}

/** Python's `round`. */
export function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
