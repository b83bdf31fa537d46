import type { Plane } from "../film/film";

const TINY = 2 ** -126; // least normal float32, as a range of zero

/** Scale a plane so that two percentiles become 0 and 1, and clip what lies beyond: `ScaleByPercentilesd`. */
export function scaleByPercentiles(plane: Plane, lower: number, upper: number): Plane {
  return scaleRange(plane, percentiles(plane.values, [lower, upper]) as [number, number]);
}

/** Scale a plane so that two grays become 0 and 1, and clip what lies beyond. */
export function scaleRange(plane: Plane, [low, high]: readonly [number, number]): Plane {
  const [from, range] = [Math.fround(low), Math.fround(Math.max(high - low, TINY))];
  const values = new Float32Array(plane.values.length);
  for (let i = 0; i < values.length; i++) {
    const scaled = Math.fround(plane.values[i]! - from) / range;
    values[i] = scaled < 0 ? 0 : scaled > 1 ? 1 : scaled;
  }
  return { ...plane, values };
}

/** What `numpy.percentile` gives: linear between the two values whose ranks are nearest. */
export function percentiles(values: Float32Array, percents: number[]): number[] {
  const ranks = percents.map((percent) => (percent / 100) * (values.length - 1));
  const wanted = ranks.flatMap((rank) => [Math.floor(rank), Math.ceil(rank)]);
  const found = orderStatistics(values, wanted);
  return ranks.map((rank, i) => {
    const [below, above] = [found[2 * i]!, found[2 * i + 1]!];
    return below + (rank % 1) * (above - below);
  });
}

/**
 * The values of given ranks, without sorting all: values are counted by the upper half of their bits, and only those
 * that share it with a wanted rank are sorted.
 */
function orderStatistics(values: Float32Array, ranks: number[]): number[] {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const counts = new Uint32Array(65536);
  for (let i = 0; i < bits.length; i++) counts[ordered(bits[i]!) >>> 16]!++;
  return ranks.map((rank) => {
    let [bucket, before] = [0, 0];
    while (before + counts[bucket]! <= rank) before += counts[bucket++]!;
    const inside = new Float32Array(counts[bucket]!);
    for (let i = 0, to = 0; i < bits.length; i++) {
      if (ordered(bits[i]!) >>> 16 === bucket) inside[to++] = values[i]!;
    }
    return inside.sort()[rank - before]!;
  });
}

/** An unsigned number that orders float32 bit patterns as their values. */
function ordered(bits: number): number {
  return (bits & 0x80000000 ? ~bits : bits | 0x80000000) >>> 0;
}
