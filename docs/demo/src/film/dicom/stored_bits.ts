/** Which bits of a stored DICOM pixel hold its value (PS3.5, 8.1.1): scripts/films/stored_bits.py. */

import type { Dataset } from "./dataset";
import type { Integers } from "./pixels";

/**
 * Whole values of decoded pixels, with what does not belong to them taken out.
 *
 * The value may sit in the upper bits (HighBit), unused bits may hold an overlay or the lack of a sign. Headers err in
 * all of this, too: what is done must make the picture smoother, or the pixels stay as they are.
 */
export function storedValues(pixels: Integers, dataset: Dataset): Integers {
  const allocated = dataset.number("BitsAllocated") ?? 16;
  const bits = dataset.number("BitsStored") ?? allocated;
  const high = dataset.number("HighBit") ?? bits - 1;
  const signed = dataset.number("PixelRepresentation") === 1;
  if (!(bits > 0 && bits < allocated) || 8 * pixels.BYTES_PER_ELEMENT !== allocated) return pixels;
  const unsigned = withoutSign(pixels);
  const columns = dataset.number("Columns")!;
  if (high < bits || high >= allocated) return narrowed(pixels, unsigned, bits, signed, columns);
  const shift = high + 1 - bits;
  const below = 2 ** shift - 1;
  // Or the value sits in the lower bits
  if (unsigned.every((value) => value < 2 ** bits) && unsigned.some((value) => value & below)) {
    return narrowed(pixels, unsigned, bits, signed, columns);
  }
  const mask = 2 ** bits - 1;
  const values = unsigned.map((value) => ((value >>> shift) & mask) >>> 0);
  return signed ? withSign(values, bits) : values;
}

type Unsigned = Uint8Array | Uint16Array | Uint32Array;

function withoutSign({ buffer, byteOffset, length, BYTES_PER_ELEMENT }: Integers): Unsigned {
  if (BYTES_PER_ELEMENT === 1) return new Uint8Array(buffer, byteOffset, length);
  if (BYTES_PER_ELEMENT === 2) return new Uint16Array(buffer, byteOffset, length);
  return new Uint32Array(buffer, byteOffset, length);
}

/** `pixels` with the bits above `bits` taken for what they should be, where that is smoother. */
function narrowed(pixels: Integers, unsigned: Unsigned, bits: number, signed: boolean, columns: number): Integers {
  const [low, high] = signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1)] : [-Infinity, 2 ** bits];
  if (pixels.every((value: number) => value >= low && value < high)) return pixels;
  // No overlay covers half of a film: there the header says too few bits
  let beyond = 0;
  for (const value of unsigned) beyond += Number(value >= 2 ** bits);
  if (!signed && beyond > 0.5 * unsigned.length) return pixels;
  const mask = 2 ** bits - 1;
  const values = unsigned.map((value) => (value & mask) >>> 0);
  const other = signed ? withSign(values, bits) : values;
  return roughness(other, columns) < roughness(pixels, columns) ? other : pixels;
}

/** Unsigned numbers of `bits` bits as signed ones. */
function withSign(values: Unsigned, bits: number): Int32Array {
  const [half, all] = [2 ** (bits - 1), 2 ** bits];
  const result = new Int32Array(values.length);
  for (let i = 0; i < result.length; i++) result[i] = values[i]! < half ? values[i]! : values[i]! - all;
  return result;
}

/** Mean difference of neighbours along the rows: a bit that is misread makes cliffs. */
function roughness(values: Integers, columns: number): number {
  const rows = values.length / columns;
  const step = Math.max(1, Math.floor(rows / 256));
  let [sum, count] = [0, 0];
  for (let y = 0; y < rows; y += step) {
    for (let i = y * columns + 1; i < (y + 1) * columns; i++, count++) sum += Math.abs(values[i]! - values[i - 1]!);
  }
  return count ? sum / count : 0;
}
