import { byPart, label, largestFirst } from "./components";
import type { Mask } from "./mask";

/** Keep the largest parts of a mask, connected over edges and corners: MONAI's `KeepLargestConnectedComponent`. */
export function keepLargest(mask: Mask, count: number): Mask {
  const components = label(mask, 8);
  if (components.sizes.length - 1 <= count) return mask;
  const kept = new Uint8Array(components.sizes.length);
  for (const part of largestFirst(components).slice(0, count)) kept[part] = 1;
  return { ...mask, values: byPart(components.labels, kept) };
}

/** Fill what is not connected to the film's border, over edges or corners, outside the mask: `FillHolesByComponentd`. */
export function fillHoles({ width, height, values }: Mask): Mask {
  const outside = label({ width, height, values: values.map((value) => 1 - value) }, 8);
  const filled = new Uint8Array(outside.sizes.length).fill(1);
  for (let x = 0; x < width; x++) {
    filled[outside.labels[x]!] = 0;
    filled[outside.labels[(height - 1) * width + x]!] = 0;
  }
  for (let y = 0; y < height; y++) {
    filled[outside.labels[y * width]!] = 0;
    filled[outside.labels[y * width + width - 1]!] = 0;
  }
  filled[0] = 1; // the mask itself
  return { width, height, values: byPart(outside.labels, filled) };
}
