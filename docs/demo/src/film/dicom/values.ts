/**
 * From stored numbers of a DICOM film to the grays that a person is meant to see: scripts/films/dicom_values.py.
 *
 * In this order (PS3.4, N.2): the bits that hold the value, modality LUT or rescale, VOI LUT or window, and the
 * polarity. A film FOR PROCESSING is no picture yet, and becomes one by the logarithm that turns exposure into thickness.
 */

import { extent } from "../../canonical/grid";
import type { StoredFilm } from "../film";
import type { Dataset } from "./dataset";
import { LookupTable } from "./lookup_tables";
import { ofPalette } from "./palette";
import type { Integers, StoredPixels } from "./pixels";
import { storedValues } from "./stored_bits";
import { canBeMeant, Window } from "./windows";

const { fround } = Math; // Python computes in float32, too
const LUMA = [0.299, 0.587, 0.114].map(fround) as [number, number, number]; // ITU-R BT.601
const FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"; // Digital X-Ray Image Storage - For Processing
/** Added to an exposure before its logarithm, of the largest: what lies far below is scatter and noise. */
const SCATTER = 0.02;

type Grays = Pick<StoredFilm, "values" | "valuesSource" | "polarityKnown">;

/** Grays of decoded pixels, which of the file's words they follow, and whether the file says which end is bright. */
export function displayed({ values: pixels, samples }: StoredPixels, dataset: Dataset, name: string): Grays {
  if (dataset.string("PhotometricInterpretation") === "PALETTE COLOR") {
    return { values: ofPalette(pixels, dataset, name), valuesSource: "palette", polarityKnown: false };
  }
  if (samples === 3) return { values: colourGrays(pixels), valuesSource: "colour", polarityKnown: false };
  const stored = storedValues(pixels, dataset);
  const padding = padded(stored, pixels, dataset);
  const { values, source } = modalityValues(stored, dataset);
  const exposed = padding ? values.filter((_, i) => !padding[i]) : values;
  let shown: Float32Array;
  let [inverted, polarityKnown, valuesSource] = [false, false, source];
  if (isForProcessing(dataset)) {
    ({ shown, inverted, polarityKnown } = ofExposure(values, dataset));
    const relationship = dataset.string("PixelIntensityRelationship");
    valuesSource = `FOR PROCESSING, ${relationship || "relationship not given"}`;
  } else {
    ({ shown, source: valuesSource } = chosenWindow(values, exposed, dataset, source));
    [inverted, polarityKnown] = [isInverted(dataset), !contradictsItself(dataset)];
  }
  const [low, high] = extent(padding ? shown.filter((_, i) => !padding[i]) : shown);
  const sum = fround(high + low);
  if (inverted) shown = shown.map((gray) => sum - gray);
  if (padding) shown = shown.map((gray, i) => (padding[i] ? low : gray));
  return { values: shown, valuesSource, polarityKnown };
}

function colourGrays(rgb: Integers): Float32Array {
  const grays = new Float32Array(rgb.length / 3);
  for (let i = 0; i < grays.length; i++) {
    grays[i] = rgb[3 * i]! * LUMA[0] + rgb[3 * i + 1]! * LUMA[1] + rgb[3 * i + 2]! * LUMA[2];
  }
  return grays;
}

/**
 * Which pixels lie outside the exposed field (PixelPaddingValue, or the range up to PixelPaddingRangeLimit); null where
 * none or all do.
 *
 * Senders write the value as it is stored or as it is meant, signed or not.
 */
function padded(stored: Integers, pixels: Integers, dataset: Dataset): Uint8Array | null {
  const value = dataset.ambiguous("PixelPaddingValue");
  if (value === null) return null;
  const limit = dataset.ambiguous("PixelPaddingRangeLimit") ?? value;
  const [low, high] = [Math.min(value, limit), Math.max(value, limit)];
  const found = Uint8Array.from(stored, (number) => Number(number >= low && number <= high));
  if (low === high && !found.includes(1)) {
    const period = 2 ** (8 * pixels.BYTES_PER_ELEMENT);
    for (let i = 0; i < found.length; i++) found[i] = Number((pixels[i]! - low) % period === 0);
  }
  return found.includes(1) && found.includes(0) ? found : null;
}

/** Grays after the modality LUT or the rescale. */
function modalityValues(stored: Integers, dataset: Dataset): { values: Float32Array; source: string } {
  const values = Float32Array.from(stored);
  for (const item of dataset.items("ModalityLUTSequence")) {
    const table = LookupTable.of(item, dataset);
    if (table) return { values: table.apply(values), source: "modality LUT" };
  }
  const slope = fround(dataset.number("RescaleSlope") || 1); // 0 would leave nothing of the film
  const intercept = fround(dataset.number("RescaleIntercept") ?? 0);
  if (slope === 1 && intercept === 0) return { values, source: "as stored" };
  return { values: values.map((value) => fround(value * slope) + intercept), source: "rescale" };
}

function isForProcessing(dataset: Dataset): boolean {
  const intent = dataset.string("PresentationIntentType").toUpperCase();
  return intent === "FOR PROCESSING" || (!intent && dataset.string("SOPClassUID") === FOR_PROCESSING);
}

/** Grays of a film FOR PROCESSING (PS3.3, C.8.11.3), whether they are still inverted, and whether that is sure. */
function ofExposure(
  values: Float32Array,
  dataset: Dataset,
): { shown: Float32Array; inverted: boolean; polarityKnown: boolean } {
  const sign = dataset.signed("PixelIntensityRelationshipSign") ?? 0;
  const polarityKnown = sign !== 0;
  if (dataset.string("PixelIntensityRelationship").toUpperCase() !== "LIN") {
    return { shown: values, inverted: polarityKnown ? sign > 0 : isInverted(dataset), polarityKnown };
  }
  const [, high] = extent(values);
  // -1: the larger the value, the less came through
  const exposure = values.map((value) => Math.max(sign >= 0 ? value : high - value, 0));
  const scatter = fround(Math.max(SCATTER * extent(exposure)[1], 1e-6));
  return { shown: exposure.map((amount) => Math.log(fround(amount + scatter))), inverted: true, polarityKnown };
}

/** `values` through the first VOI LUT or window that can be meant, else as they are. */
function chosenWindow(
  values: Float32Array,
  exposed: Float32Array,
  dataset: Dataset,
  source: string,
): { shown: Float32Array; source: string } {
  const brightest = 2 ** dataset.number("BitsStored")! - 1;
  const tables = dataset.items("VOILUTSequence").map((item) => LookupTable.of(item, dataset, true));
  const windows = Window.allOf(dataset, brightest);
  const candidates = [
    ...tables.map((table, i) => [`VOI LUT ${i + 1}`, table] as const),
    ...windows.map((window, i) => [`window ${i + 1}`, window] as const),
  ];
  for (const [name, window] of candidates) {
    if (window && canBeMeant(window, exposed)) {
      return { shown: window.apply(values), source: source === "as stored" ? name : `${source}, ${name}` };
    }
  }
  if (!candidates.length) return { shown: values, source };
  const names = candidates.map(([name]) => name).join(" and ");
  return { shown: values, source: `${source}, since ${names} cannot be meant` };
}

/** Whether the lowest value is meant to be bright: by the photometric interpretation or PresentationLUTShape. */
function isInverted(dataset: Dataset): boolean {
  return dataset.string("PhotometricInterpretation") === "MONOCHROME1" || presentationShape(dataset) === "INVERSE";
}

/** Whether PresentationLUTShape is not the one that belongs to the photometric interpretation (C.11.6.1.2). */
function contradictsItself(dataset: Dataset): boolean {
  const inverse = dataset.string("PhotometricInterpretation") === "MONOCHROME1";
  return presentationShape(dataset) === (inverse ? "IDENTITY" : "INVERSE");
}

function presentationShape(dataset: Dataset): string {
  return dataset.string("PresentationLUTShape").toUpperCase();
}
