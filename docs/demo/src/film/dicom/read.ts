import { FilmError, storedFilm, type StoredFilm } from "../film";
import { checkFilm } from "./check";
import { type Dataset, parse } from "./dataset";
import { collimation } from "./field";
import { filmAspect, filmPose, filmSpacing } from "./geometry";
import { decodePixels } from "./pixels";
import { displayed } from "./values";

/** Decode one film, as its sender meant it to be displayed, with all that its header says: scripts/films/dicom.py. */
export async function readDicom(name: string, bytes: Uint8Array): Promise<StoredFilm> {
  const dataset = parsed(name, bytes);
  checkFilm(dataset, name);
  const grays = displayed(await decodePixels(dataset, name), dataset, name);
  const spacing = filmSpacing(dataset);
  const [width, height] = [dataset.number("Columns")!, dataset.number("Rows")!];
  return storedFilm(
    { width, height, values: grays.values },
    { ...grays, ...filmPose(dataset), ...spacing, ...filmAspect(dataset, spacing), ...collimation(dataset) },
  );
}

function parsed(name: string, bytes: Uint8Array): Dataset {
  try {
    return parse(bytes);
  } catch {
    throw new FilmError(`${name}: is no DICOM file, or a damaged one`);
  }
}
