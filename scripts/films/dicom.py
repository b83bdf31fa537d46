"""Projection radiographs in DICOM files: what is a film, and all that its header says of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import BundleError
from .decoding import stored_pixels
from .dicom_field import collimation
from .dicom_values import displayed
from .encoding import written_encoding
from .film import StoredFilm
from .limits import check_pixels
from .pose import Pose, pose_of_directions
from .spacing import believable

# Computed and digital radiography, digitised film, and "other", which secondary captures of films carry.
MODALITIES = ("CR", "DX", "RG", "OT")
# It logs each decoder's error with a traceback, of which ours says the essential
logging.getLogger("pydicom.pixels.decoders.base").setLevel(logging.CRITICAL)


def read_header(path: str | Path):
    """The `pydicom.Dataset` at `path` without its pixels; files without preamble are read too."""
    import pydicom

    return pydicom.dcmread(path, force=True, stop_before_pixels=True)


def read_radiograph(path: str | Path) -> StoredFilm:
    """Decode one film, as its sender meant it to be displayed, see `dicom_values`.

    Args:
        path: CR, DX or secondary capture, with or without preamble, in any transfer syntax that a plugin of pydicom
            decodes.

    Raises:
        BundleError: no DICOM, no pixels or too many, another modality, several frames, or a palette of colours.
        Exception: what pydicom raises on damaged pixels.
    """
    import pydicom

    dataset = pydicom.dcmread(path, force=True)
    check_film(dataset, path)
    if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = _plain_syntax(*written_encoding(dataset))
    values, values_source, polarity_known = displayed(stored_pixels(dataset, path), dataset, path)
    pose, pose_source = film_pose(dataset)
    spacing, spacing_source = film_spacing(dataset) or (None, "")
    aspect, aspect_source = film_aspect(dataset, spacing, spacing_source)
    corners, collimation_source = collimation(dataset) or (None, "")
    return StoredFilm(
        values=values,
        values_source=values_source,
        polarity_known=polarity_known,
        pose=pose,
        pose_source=pose_source,
        spacing=spacing,
        spacing_source=spacing_source,
        aspect=aspect,
        aspect_source=aspect_source,
        collimation=corners,
        collimation_source=collimation_source,
    )


def check_film(dataset, path: str | Path) -> None:
    """Raise `BundleError`, which names `path`, unless `dataset` holds one gray or RGB radiograph."""
    if "SOPClassUID" not in dataset and "Rows" not in dataset:
        raise BundleError(f"{path}: is no DICOM file")
    if "PixelData" not in dataset or "Rows" not in dataset:
        kind = dataset.SOPClassUID.name if "SOPClassUID" in dataset else "unknown"
        raise BundleError(f"{path}: this DICOM object ({kind}) holds no image")
    modality = dataset.get("Modality") or ""
    if modality and modality not in MODALITIES:
        raise BundleError(f"{path}: modality {modality} is no radiograph; supported: {', '.join(MODALITIES)}")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise BundleError(f"{path}: holds {frames} frames, expected one film")
    check_pixels(path, int(dataset.Rows), int(dataset.Columns), int(dataset.get("SamplesPerPixel") or 1))


def _plain_syntax(implicit: bool, little: bool) -> str:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def film_pose(dataset: Mapping) -> tuple[Pose | None, str]:
    """Pose and the attribute that states it: PatientOrientation, else ImageOrientationPatient."""
    directions = dataset.get("PatientOrientation") or ()
    if len(directions) == 2 and not isinstance(directions, str):
        # "LH" leans to the head, but runs to the left; bipeds' heads are H, quadrupeds' are not expected
        pose = pose_of_directions(*(str(direction).strip().upper()[:1] or "-" for direction in directions))
        if pose is not None:
            return pose, "PatientOrientation"
    cosines = dataset.get("ImageOrientationPatient") or ()
    if len(cosines) == 6:
        names = []
        for axis in (np.array(cosines[:3], float), np.array(cosines[3:], float)):
            side = int(np.argmax(np.abs(axis)))
            names.append(("LR", "PA", "HF")[side][int(axis[side] < 0)])
        pose = pose_of_directions(*names)
        if pose is not None:
            return pose, "ImageOrientationPatient"
    return None, ""


def film_spacing(dataset: Mapping) -> tuple[tuple[float, float], str] | None:
    """(row, column) spacing in mm and the attribute that states it, or None.

    PixelSpacing is the sender's calibration. Without it ImagerPixelSpacing at the detector is divided by the
    magnification that the file estimates, if it does; NominalScannedPixelSpacing is that of digitised film.
    """
    for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        values = dataset.get(name) or ()
        if len(values) == 2 and min(map(float, values)) > 0:
            row, column = map(float, values)
            factor = dataset.get("EstimatedRadiographicMagnificationFactor")
            if name == "ImagerPixelSpacing" and factor and float(factor) > 0:
                return (row / float(factor), column / float(factor)), f"{name}, magnification {float(factor):g}"
            return (row, column), name
    return None


def film_aspect(dataset: Mapping, spacing: tuple[float, float] | None, source: str) -> tuple[float, str]:
    """Height of a pixel over its width and the attribute that states it: the spacing, else PixelAspectRatio."""
    if spacing is not None:
        return believable(spacing[0] / spacing[1], source)
    ratio = dataset.get("PixelAspectRatio") or ()
    if len(ratio) == 2 and min(map(float, ratio)) > 0:
        return believable(float(ratio[0]) / float(ratio[1]), "PixelAspectRatio")
    return 1.0, ""
