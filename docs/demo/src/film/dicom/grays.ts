import type { Dataset } from "./dataset";
import type { StoredPixels } from "./pixels";

const LUMA = [0.299, 0.587, 0.114].map(Math.fround) as [number, number, number]; // ITU-R BT.601

/** Displayed grays of stored pixels: H x W float32, as pydicom and scripts/data/dicom.py compute them. */
export function displayedGrays({ values: stored, samples }: StoredPixels, dataset: Dataset): Float32Array {
  if (samples === 3) return colourGrays(stored);
  const shown = Float32Array.from(voi(modality(stored, dataset), dataset));
  const padding = padded(stored, dataset);
  let [low, high] = [Infinity, -Infinity];
  const partly = padding !== null && padding.some((pad) => pad) && !padding.every((pad) => pad);
  for (let i = 0; i < shown.length; i++) {
    if (partly && padding[i]) continue;
    low = Math.min(low, shown[i]!);
    high = Math.max(high, shown[i]!);
  }
  if (dataset.string("PhotometricInterpretation") === "MONOCHROME1") {
    const sum = Math.fround(high + low);
    for (let i = 0; i < shown.length; i++) shown[i] = sum - shown[i]!;
  }
  if (partly) for (let i = 0; i < shown.length; i++) if (padding[i]) shown[i] = low;
  return shown;
}

function colourGrays(rgb: ArrayLike<number>): Float32Array {
  const grays = new Float32Array(rgb.length / 3);
  for (let i = 0; i < grays.length; i++) {
    grays[i] = rgb[3 * i]! * LUMA[0] + rgb[3 * i + 1]! * LUMA[1] + rgb[3 * i + 2]! * LUMA[2];
  }
  return grays;
}

/** A lookup table of the modality or VOI LUT module. */
interface Table {
  first: number;
  bits: number;
  entries: Uint16Array;
}

function table(item: Dataset): Table {
  const descriptor = item.words("LUTDescriptor");
  const count = descriptor[0]! || 65536;
  const entries = item.words("LUTData");
  if (entries.length < count) throw new Error(`lookup table of ${entries.length} entries, expected ${count}`);
  return { first: item.ambiguous("LUTDescriptor", 1)!, bits: descriptor[2]!, entries: entries.subarray(0, count) };
}

function looked({ first, entries }: Table, values: ArrayLike<number>): Float64Array {
  return mapped(values, (value) => {
    const index = Math.trunc(value - first);
    return entries[Math.min(Math.max(index, 0), entries.length - 1)]!;
  });
}

/** What `map` makes of each value; `Float64Array.from` takes ten times as long. */
function mapped(values: ArrayLike<number>, map: (value: number) => number): Float64Array {
  const results = new Float64Array(values.length);
  for (let i = 0; i < results.length; i++) results[i] = map(values[i]!);
  return results;
}

function modality(stored: ArrayLike<number>, dataset: Dataset): ArrayLike<number> {
  const item = dataset.firstItem("ModalityLUTSequence");
  if (item) return looked(table(item), stored);
  const [slope, intercept] = rescale(dataset);
  if (slope === null || intercept === null) return stored;
  return mapped(stored, (value) => value * slope + intercept);
}

function rescale(dataset: Dataset): [number | null, number | null] {
  return [dataset.number("RescaleSlope"), dataset.number("RescaleIntercept")];
}

function voi(values: ArrayLike<number>, dataset: Dataset): ArrayLike<number> {
  const item = dataset.firstItem("VOILUTSequence");
  if (item?.has("LUTDescriptor") && item.has("LUTData")) {
    const lut = table(item);
    if (lut.bits !== 8 && !(lut.bits >= 10 && lut.bits <= 16)) {
      throw new Error(`'${lut.bits}' bits per LUT entry is not supported`);
    }
    return looked(lut, values);
  }
  const center = dataset.number("WindowCenter");
  const width = dataset.number("WindowWidth");
  return center === null || width === null ? values : windowed(values, dataset, center, width);
}

/** PS3.3 C.11.2.1.2 and C.11.2.1.3, on the range of values that the pixels can have. */
function windowed(values: ArrayLike<number>, dataset: Dataset, center: number, width: number): Float64Array {
  const [low, high] = outputRange(dataset);
  const range = high - low;
  const shape = (dataset.string("VOILUTFunction") || "LINEAR").toUpperCase();
  if (shape === "SIGMOID") {
    if (width <= 0) throw new Error("the Window Width must be greater than 0");
    return mapped(values, (value) => range / (1 + Math.exp((-4 * (value - center)) / width)) + low);
  }
  if (shape !== "LINEAR" && shape !== "LINEAR_EXACT") throw new Error(`unsupported VOI LUT Function '${shape}'`);
  if (shape === "LINEAR" ? width < 1 : width <= 0) throw new Error(`the Window Width ${width} is too small`);
  const [middle, span] = shape === "LINEAR" ? [center - 0.5, width - 1] : [center, width];
  return mapped(values, (value) => {
    if (value <= middle - span / 2) return low;
    if (value > middle + span / 2) return high;
    return ((value - middle) / span + 0.5) * range + low;
  });
}

function outputRange(dataset: Dataset): [number, number] {
  const bits = dataset.number("BitsStored")!;
  const item = dataset.firstItem("ModalityLUTSequence");
  let [low, high] = dataset.number("PixelRepresentation")
    ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
    : [0, 2 ** bits - 1];
  if (item) [low, high] = [0, 2 ** table(item).bits - 1];
  const [slope, intercept] = rescale(dataset);
  if (slope === null || intercept === null) return [low, high];
  return [low * slope + intercept, high * slope + intercept];
}

/** Which pixels lie outside the exposed field (PixelPaddingValue, or the range up to PixelPaddingRangeLimit). */
function padded(stored: ArrayLike<number>, dataset: Dataset): Uint8Array | null {
  const value = dataset.ambiguous("PixelPaddingValue");
  if (value === null) return null;
  const limit = dataset.ambiguous("PixelPaddingRangeLimit") ?? value;
  const [low, high] = [Math.min(value, limit), Math.max(value, limit)];
  const padding = new Uint8Array(stored.length);
  for (let i = 0; i < padding.length; i++) padding[i] = Number(stored[i]! >= low && stored[i]! <= high);
  return padding;
}
