import { encode } from "fast-png";

import type { Mask } from "../mask/mask";

/** A mask as scripts/output writes it: gray of 8 bits, 0 and 255. */
export function maskPng({ width, height, values }: Mask): Blob {
  const data = values.map((value) => value * 255);
  const png = encode({ width, height, data, channels: 1, depth: 8 });
  return new Blob([png as Uint8Array<ArrayBuffer>], { type: "image/png" });
}

/** File name without the suffix of a film. */
export function stem(name: string): string {
  return name.replace(/\.(png|jpe?g|dcm|dicom)$/i, "");
}

/** Hand a file to the browser's downloads. */
export function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
