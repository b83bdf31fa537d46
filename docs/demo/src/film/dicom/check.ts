import { checkPixels, FilmError } from "../film";
import type { Dataset } from "./dataset";

/** Computed and digital radiography, digitised film, and "other", which secondary captures of films carry. */
const MODALITIES = ["CR", "DX", "RG", "OT"];

/** Throw, with the file's name, unless `dataset` holds one gray or RGB radiograph. */
export function checkFilm(dataset: Dataset, name: string): void {
  if (!dataset.has("SOPClassUID") && !dataset.has("Rows")) throw new FilmError(`${name}: is no DICOM file`);
  if (!dataset.has("PixelData") || !dataset.has("Rows")) {
    throw new FilmError(`${name}: this DICOM object (${dataset.string("SOPClassUID") || "unknown"}) holds no image`);
  }
  const modality = dataset.string("Modality");
  if (modality && !MODALITIES.includes(modality)) {
    throw new FilmError(`${name}: modality ${modality} is no radiograph; supported: ${MODALITIES.join(", ")}`);
  }
  const frames = dataset.number("NumberOfFrames") ?? 1;
  if (frames !== 1) throw new FilmError(`${name}: holds ${frames} frames, expected one film`);
  checkPixels(
    name,
    dataset.number("Rows")!,
    dataset.number("Columns") ?? 0,
    dataset.number("SamplesPerPixel") || 1,
  );
}
