import { label, largestFirst } from "./components";
import type { Mask } from "./mask";

/** Keep the largest parts of a mask, connected over edges and corners: MONAI's `KeepLargestConnectedComponent`. */
export function keepLargest(mask: Mask, count: number): Mask {
  const components = label(mask, 8);
  if (components.sizes.length - 1 <= count) return mask;
  const kept = new Set(largestFirst(components).slice(0, count));
  return { ...mask, values: Uint8Array.from(components.labels, (part) => Number(kept.has(part))) };
}

/** Fill what is not connected to the film's border, over edges or corners, outside the mask: `FillHolesByComponentd`. */
export function fillHoles(mask: Mask): Mask {
  const { width, height, values } = mask;
  const outside = label({ width, height, values: values.map((value) => 1 - value) }, 8);
  const open = new Uint8Array(outside.sizes.length);
  open[0] = 1; // the mask itself
  for (let x = 0; x < width; x++) {
    open[outside.labels[x]!] = 1;
    open[outside.labels[(height - 1) * width + x]!] = 1;
  }
  for (let y = 0; y < height; y++) {
    open[outside.labels[y * width]!] = 1;
    open[outside.labels[y * width + width - 1]!] = 1;
  }
  return { width, height, values: values.map((value, i) => value || 1 - open[outside.labels[i]!]!) };
}
