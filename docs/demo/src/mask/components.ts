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
  const labels = new Uint32Array(values.length);
  const parents = [0];
  const root = (part: number): number => {
    while (parents[part] !== part) part = parents[part] = parents[parents[part]!]!;
    return part;
  };
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (!values[i]) continue;
      let part = 0;
      const join = (neighbour: number) => {
        if (!neighbour) return;
        const other = root(neighbour);
        if (!part) part = other;
        else if (other !== part) {
          const [low, high] = part < other ? [part, other] : [other, part];
          parents[high] = low;
          part = low;
        }
      };
      if (x) join(labels[i - 1]!);
      if (y) {
        join(labels[i - width]!);
        if (connectivity === 8) {
          if (x) join(labels[i - width - 1]!);
          if (x + 1 < width) join(labels[i - width + 1]!);
        }
      }
      if (!part) {
        part = parents.length;
        parents.push(part);
      }
      labels[i] = part;
    }
  }
  return renumbered(labels, parents.map((_, part) => root(part)));
}

/** Labels without gaps, and the size of each part. */
function renumbered(labels: Uint32Array, roots: number[]): Components {
  const numbers = new Uint32Array(roots.length);
  let count = 0;
  roots.forEach((root, part) => {
    if (part && root === part) numbers[part] = ++count;
  });
  const sizes = new Array<number>(count + 1).fill(0);
  for (let i = 0; i < labels.length; i++) {
    labels[i] = numbers[roots[labels[i]!]!]!;
    sizes[labels[i]!]!++;
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
