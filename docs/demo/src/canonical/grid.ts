/** Numbers of any kind, row by row. */
export interface Grid<Values extends Numbers = Numbers> {
  width: number;
  height: number;
  values: Values;
}

export type Numbers = Float32Array | Float64Array | Uint8Array | Uint32Array | Int32Array;

/** Room for `length` numbers of the kind of `values`. */
export function like<Values extends Numbers>(values: Values, length: number): Values {
  return new (values.constructor as new (length: number) => Values)(length);
}

/** Columns `left` to `right` and rows `top` to `bottom`, the latter of each exclusive. */
export function part<Values extends Numbers>(
  { width, values }: Grid<Values>,
  left: number,
  top: number,
  right: number,
  bottom: number,
): Grid<Values> {
  const inner = like(values, (right - left) * (bottom - top));
  for (let y = top, to = 0; y < bottom; y++, to += right - left) {
    inner.set(values.subarray(y * width + left, y * width + right), to);
  }
  return { width: right - left, height: bottom - top, values: inner };
}

/** The least and the largest of some numbers. */
export function extent(values: ArrayLike<number>): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    if (values[i]! < low) low = values[i]!;
    if (values[i]! > high) high = values[i]!;
  }
  return [low, high];
}
