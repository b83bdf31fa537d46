/** What NumPy gives, to the last bit where it decides something. */

const { fround } = Math;

/** `numpy.percentile` of float32 values: linear between the two whose ranks are nearest. */
export function percentile(values: Float32Array, percents: readonly number[]): number[] {
  const sorted = values.slice().sort();
  return percents.map((percent) => {
    const rank = (percent / 100) * (sorted.length - 1);
    const [below, above] = [sorted[Math.floor(rank)]!, sorted[Math.min(Math.floor(rank) + 1, sorted.length - 1)]!];
    const [apart, share] = [fround(above - below), rank - Math.floor(rank)];
    return share < 0.5 ? below + apart * share : above - apart * (1 - share);
  });
}

/** `numpy.median`. */
export function median(values: Float64Array): number {
  const sorted = values.slice().sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * Counts of `numpy.histogram` with bins of equal width, and their edges.
 *
 * @param range outer edges; values beyond them are not counted.
 */
export function histogram(
  values: Float32Array | Float64Array,
  bins: number,
  [low, high]: readonly [number, number],
): { counts: number[]; edges: number[] } {
  const rounded = values instanceof Float32Array ? fround : (value: number) => value;
  const width = rounded(high - low);
  const step = rounded(width / bins);
  const edges = Array.from({ length: bins + 1 }, (_, i) => (i === bins ? high : rounded(rounded(i * step) + low)));
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) {
    if (!(value >= low && value <= high)) continue;
    let bin = Math.trunc(rounded(rounded(rounded(value - low) / width) * bins));
    if (bin === bins) bin--;
    if (value < edges[bin]!) bin--;
    if (bin !== bins - 1 && value >= edges[bin + 1]!) bin++;
    counts[bin]!++;
  }
  return { counts, edges };
}

/**
 * The shortest solution of terms * x = values in the sense of least squares, as `numpy.linalg.lstsq` gives it.
 *
 * By singular values (one-sided Jacobi), since terms may depend on each other.
 *
 * @param terms columns of equal length.
 */
export function leastSquares(terms: Float64Array[], values: Float64Array): number[] {
  const columns = terms.map((column) => column.slice());
  const size = columns.length;
  const turns = columns.map((_, i) => columns.map((__, j) => Number(i === j))); // of the unknowns
  const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
    return sum;
  };
  const rotate = (a: Float64Array | number[], b: Float64Array | number[], cosine: number, sine: number) => {
    for (let i = 0; i < a.length; i++) [a[i], b[i]] = [cosine * a[i]! - sine * b[i]!, sine * a[i]! + cosine * b[i]!];
  };
  for (let sweep = 0; sweep < 30; sweep++) {
    let apart = 0;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        const [pp, qq, pq] = [dot(columns[p]!, columns[p]!), dot(columns[q]!, columns[q]!), dot(columns[p]!, columns[q]!)];
        if (pq === 0 || Math.abs(pq) <= Number.EPSILON * Math.sqrt(pp * qq)) continue;
        apart++;
        const zeta = (qq - pp) / (2 * pq);
        const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const cosine = 1 / Math.sqrt(1 + tangent * tangent);
        rotate(columns[p]!, columns[q]!, cosine, cosine * tangent);
        rotate(turns[p]!, turns[q]!, cosine, cosine * tangent);
      }
    }
    if (!apart) break;
  }
  const lengths = columns.map((column) => Math.sqrt(dot(column, column)));
  const least = Number.EPSILON * Math.max(size, values.length) * Math.max(...lengths);
  const solution = new Array<number>(size).fill(0);
  columns.forEach((column, p) => {
    if (lengths[p]! <= least) return;
    const share = dot(column, values) / lengths[p]! ** 2;
    for (let i = 0; i < size; i++) solution[i]! += share * turns[p]![i]!;
  });
  return solution;
}
