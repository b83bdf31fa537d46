import type { Mask } from "./mask";

/** Connected parts of a mask. */
export interface Components {
  /** 0 outside the mask, else the number of the part, from 1 on. */
  labels: Uint32Array;
  /** Pixels of each part; entry 0 counts those outside. */
  sizes: number[];
}

/** Label the connected parts of a mask, in the order of their first pixels: over edges (4), or corners too (8). */
export function label({ width, height, values }: Mask, connectivity: 4 | 8): Components {
  const reach = connectivity === 8 ? 1 : 0;
  // Runs of a row: first column, column after the last
  const [starts, ends, rows]: [number[], number[], number[]] = [[], [], [0]];
  const parents: number[] = [];
  const root = (run: number): number => {
    while (parents[run] !== run) run = parents[run] = parents[parents[run]!]!;
    return run;
  };
  for (let y = 0; y < height; y++) {
    let above = y ? rows[y - 1]! : 0;
    const endAbove = rows[y]!;
    for (let x = 0, row = y * width; x < width; x++) {
      if (!values[row + x]) continue;
      const start = x;
      while (x < width && values[row + x]) x++;
      const run = starts.push(start) - 1;
      ends.push(x);
      parents.push(run);
      while (above < endAbove && ends[above]! + reach <= start) above++;
      for (let other = above; other < endAbove && starts[other]! < x + reach; other++) {
        const [a, b] = [root(other), root(run)];
        parents[Math.max(a, b)] = Math.min(a, b);
      }
    }
    rows.push(starts.length);
  }
  const numbers = new Uint32Array(starts.length);
  const sizes = [values.length];
  const labels = new Uint32Array(values.length);
  for (let y = 0; y < height; y++) {
    for (let run = rows[y]!; run < rows[y + 1]!; run++) {
      const first = root(run); // comes before all others of its part
      if (first === run) numbers[run] = sizes.push(0) - 1;
      const [part, pixels] = [numbers[first]!, ends[run]! - starts[run]!];
      labels.fill(part, y * width + starts[run]!, y * width + ends[run]!);
      sizes[part]! += pixels;
      sizes[0]! -= pixels;
    }
  }
  return { labels, sizes };
}

/** Numbers of the parts, the largest first. */
export function largestFirst({ sizes }: Components): number[] {
  return sizes
    .map((_, part) => part)
    .slice(1)
    .sort((a, b) => sizes[b]! - sizes[a]!);
}

/** A byte for each pixel, by the part that it lies in. */
export function byPart(labels: Uint32Array, bytes: Uint8Array): Uint8Array {
  const values = new Uint8Array(labels.length);
  for (let i = 0; i < values.length; i++) values[i] = bytes[labels[i]!]!;
  return values;
}
