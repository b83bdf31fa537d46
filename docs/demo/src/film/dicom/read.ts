import { type Film, FilmError } from "../film";
import { checkFilm } from "./check";
import { type Dataset, parse } from "./dataset";
import { displayedGrays } from "./grays";
import { decodePixels } from "./pixels";
import { filmSpacing } from "./spacing";

/**
 * Decode one film and bring it to the grays that its sender meant, as scripts/data/dicom.py does.
 *
 * In this order (DICOM PS3.4, N.2): modality LUT or rescale, VOI LUT or the first window, inversion of MONOCHROME1
 * within the film's own range. Padding outside the exposed field becomes the darkest value.
 */
export async function readDicom(name: string, bytes: Uint8Array): Promise<Film> {
  const dataset = parsed(name, bytes);
  checkFilm(dataset, name);
  const values = displayedGrays(await decodePixels(dataset, name), dataset);
  const spacing = filmSpacing(dataset);
  const orientation = dataset.strings("PatientOrientation");
  return {
    width: dataset.number("Columns")!,
    height: dataset.number("Rows")!,
    values,
    spacing: spacing?.mm ?? null,
    spacingSource: spacing?.source ?? "",
    orientation: orientation.length === 2 ? orientation.join("\\") : "",
  };
}

function parsed(name: string, bytes: Uint8Array): Dataset {
  try {
    return parse(bytes);
  } catch {
    throw new FilmError(`${name}: is no DICOM file, or a damaged one`);
  }
}
