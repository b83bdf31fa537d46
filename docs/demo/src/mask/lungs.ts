import { byPart, label, largestFirst } from "./components";
import type { Mask } from "./mask";

/** Both lungs of a mask told apart. */
export interface Lungs {
  /** 0 background, 1 the patient's right lung, 2 the left; 3 where they cannot be told apart. */
  labels: Uint8Array;
  /** Pixels of each, where they can. */
  right: number | null;
  left: number | null;
}

/**
 * Tell the lungs of an upright mask apart by their place, as scripts/output/areas.py does: the patient's right hangs on
 * the left of the picture.
 */
export function tellLungsApart(mask: Mask): Lungs {
  const components = label(mask, 4);
  const [first, second] = largestFirst(components);
  const sizes = components.sizes;
  if (first === undefined || second === undefined || sizes[second]! < 0.1 * sizes[first]!) {
    return { labels: mask.values.map((value) => (value ? 3 : 0)), right: null, left: null };
  }
  const centre = [first, second].map((part) => centreColumn(components.labels, mask.width, part, sizes[part]!));
  const [right, left] = centre[0]! < centre[1]! ? [first, second] : [second, first];
  const numbers = new Uint8Array(sizes.length).fill(3);
  [numbers[0], numbers[right], numbers[left]] = [0, 1, 2];
  return { labels: byPart(components.labels, numbers), right: sizes[right]!, left: sizes[left]! };
}

function centreColumn(labels: Uint32Array, width: number, part: number, size: number): number {
  let sum = 0;
  for (let i = 0, x = 0; i < labels.length; i++, x = x + 1 === width ? 0 : x + 1) if (labels[i] === part) sum += x;
  return sum / size;
}
