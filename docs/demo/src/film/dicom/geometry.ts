/** Pose, spacing and shape of pixels as a DICOM header states them: scripts/films/dicom.py. */

import { poseOfDirections } from "../../canonical/pose";
import type { StoredFilm } from "../film";
import { believable } from "../spacing";
import type { Dataset } from "./dataset";

/** Where positive and negative cosines lead (PS3.3, C.7.6.2.1.1). */
const SIDES = ["LR", "PA", "HF"] as const;
const STATED = ["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"] as const;

/** Pose and the attribute that states it: PatientOrientation, else ImageOrientationPatient. */
export function filmPose(dataset: Dataset): Pick<StoredFilm, "pose" | "poseSource"> {
  const directions = dataset.strings("PatientOrientation");
  if (directions.length === 2) {
    // "LH" leans to the head, but runs to the left; bipeds' heads are H, quadrupeds' are not expected
    const [columns, rows] = directions.map((direction) => direction.toUpperCase()[0] ?? "-") as [string, string];
    const pose = poseOfDirections(columns, rows);
    if (pose) return { pose, poseSource: "PatientOrientation" };
  }
  const cosines = dataset.numbers("ImageOrientationPatient");
  if (cosines.length === 6) {
    const [columns, rows] = [cosines.slice(0, 3), cosines.slice(3)].map((axis) => {
      const lengths = axis.map(Math.abs);
      const side = lengths.indexOf(Math.max(...lengths));
      return SIDES[side]?.[Number(axis[side]! < 0)] ?? "-";
    }) as [string, string];
    const pose = poseOfDirections(columns, rows);
    if (pose) return { pose, poseSource: "ImageOrientationPatient" };
  }
  return { pose: null, poseSource: "" };
}

/**
 * [row, column] spacing in mm and the attribute that states it.
 *
 * PixelSpacing is the sender's calibration. Without it ImagerPixelSpacing at the detector is divided by the
 * magnification that the file estimates, if it does; NominalScannedPixelSpacing is that of digitised film.
 */
export function filmSpacing(dataset: Dataset): Pick<StoredFilm, "spacing" | "spacingSource"> {
  for (const name of STATED) {
    const values = dataset.numbers(name);
    if (values.length !== 2 || !values.every((value) => value > 0)) continue;
    const [row, column] = values as [number, number];
    const factor = dataset.number("EstimatedRadiographicMagnificationFactor") ?? 0;
    if (name === "ImagerPixelSpacing" && factor > 0) {
      const told = Number(factor.toPrecision(6));
      return { spacing: [row / factor, column / factor], spacingSource: `${name}, magnification ${told}` };
    }
    return { spacing: [row, column], spacingSource: name };
  }
  return { spacing: null, spacingSource: "" };
}

/** Height of a pixel over its width and the attribute that states it: the spacing, else PixelAspectRatio. */
export function filmAspect(
  dataset: Dataset,
  { spacing, spacingSource }: Pick<StoredFilm, "spacing" | "spacingSource">,
): Pick<StoredFilm, "aspect" | "aspectSource"> {
  if (spacing) return believable(spacing[0] / spacing[1], spacingSource);
  const ratio = dataset.numbers("PixelAspectRatio");
  if (ratio.length === 2 && ratio.every((value) => value > 0)) {
    return believable(ratio[0]! / ratio[1]!, "PixelAspectRatio");
  }
  return { aspect: 1, aspectSource: "" };
}
