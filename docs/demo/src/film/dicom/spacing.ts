import type { Dataset } from "./dataset";

const STATED = ["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"] as const;

/**
 * [row, column] spacing in mm and the attribute that states it, or null.
 *
 * PixelSpacing is the sender's calibration. Without it ImagerPixelSpacing at the detector is divided by the
 * magnification that the file estimates, if it does; NominalScannedPixelSpacing is that of digitised film.
 */
export function filmSpacing(dataset: Dataset): { mm: [number, number]; source: string } | null {
  for (const name of STATED) {
    const values = dataset.strings(name).map(Number);
    if (values.length !== 2 || !values.every((value) => value > 0)) continue;
    const [row, column] = values as [number, number];
    const factor = dataset.number("EstimatedRadiographicMagnificationFactor");
    if (name === "ImagerPixelSpacing" && factor) {
      return { mm: [row / factor, column / factor], source: `${name}, magnification ${factor}` };
    }
    return { mm: [row, column], source: name };
  }
  return null;
}
