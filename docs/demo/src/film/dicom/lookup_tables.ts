/** Lookup tables of DICOM files (PS3.3, C.11.1 and C.11.2), as they are really written: scripts/films/lookup_tables.py. */

import { extent } from "../../canonical/grid";
import { roundHalfToEven } from "../../canonical/matrix";
import { BIG_ENDIAN, type Dataset } from "./dataset";

/** A wish for display: a table or a window. */
export interface Display {
  /** The least and the largest gray. */
  range: [number, number];
  /** Grays of values. */
  apply(values: Float32Array): Float32Array;
}

/** A table of grays. */
export class LookupTable implements Display {
  readonly range: [number, number];

  /** @param first the value that the first entry belongs to; lower ones get the first entry, higher ones the last. */
  constructor(
    readonly first: number,
    readonly entries: Float32Array,
  ) {
    this.range = extent(entries);
  }

  /**
   * The table in an item of a LUT sequence, or null where it holds none that can be read.
   *
   * Entries of up to 8 bits come packed, or one in each word of 16 bits.
   *
   * @param voi whether it belongs to values after the modality LUT or rescale, which may be negative.
   */
  static of(item: Dataset, dataset: Dataset, voi = false): LookupTable | null {
    const descriptor = item.words("LUTDescriptor");
    if (descriptor.length !== 3 || !item.has("LUTData")) return null;
    const [count, start, bits] = [descriptor[0]! || 1 << 16, descriptor[1]!, descriptor[2]!];
    const signed =
      dataset.number("PixelRepresentation") === 1 || (voi && (dataset.number("RescaleIntercept") ?? 0) < 0);
    const entries = readEntries(item, count, bits);
    return entries && new LookupTable(signed && start >= 1 << 15 ? start - (1 << 16) : start, entries);
  }

  apply(values: Float32Array): Float32Array {
    const last = this.entries.length - 1;
    const shown = new Float32Array(values.length);
    for (let i = 0; i < shown.length; i++) {
      const place = roundHalfToEven(values[i]!) - this.first;
      shown[i] = this.entries[place < 0 ? 0 : place > last ? last : place]!;
    }
    return shown;
  }
}

/** The entries in LUTData, or null where there are too few. */
function readEntries(item: Dataset, count: number, bits: number): Float32Array | null {
  const bytes = item.bytes("LUTData");
  let values: Uint16Array;
  if (bytes.length >> 1 >= count) {
    values = item.words("LUTData").subarray(0, count);
  } else if (bytes.length >= count) {
    // 8 bits each, two to a word, the lower one first
    values = Uint16Array.from(bytes);
    if (item.syntax === BIG_ENDIAN) values = values.map((_, i) => bytes[i ^ 1]!);
    values = values.subarray(0, count);
  } else {
    return null;
  }
  const upper = bits > 0 && bits <= 8 && values.some((value) => value > 0xff) && !values.some((value) => value & 0xff);
  return Float32Array.from(values, (value) => (upper ? value >> 8 : value)); // in the upper byte of the word
}
