"""Projection radiographs in DICOM files, as they are meant to be displayed."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import BundleError
from .decoding import stored_pixels
from .limits import check_pixels

# Computed and digital radiography, digitised film, and "other", which secondary captures of films carry.
MODALITIES = ("CR", "DX", "RG", "OT")
# It logs each decoder's error with a traceback, of which ours says the essential
logging.getLogger("pydicom.pixels.decoders.base").setLevel(logging.CRITICAL)
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow weighs colour


def has_preamble(path: str | Path) -> bool:
    """Whether the file at `path` says by its first 132 bytes that it is DICOM; hospitals often use no suffix."""
    if not os.path.isfile(path):  # a pipe would wait for someone to write
        return False
    try:
        with Path(path).open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:  # a file that cannot be opened is no film by its content
        return False


def read_header(path: str | Path):
    """The `pydicom.Dataset` at `path` without its pixels; files without preamble are read too."""
    import pydicom

    return pydicom.dcmread(path, force=True, stop_before_pixels=True)


def read_radiograph(path: str | Path) -> tuple[np.ndarray, dict[str, object]]:
    """Decode one film and bring it to the grays that its sender meant: bone bright.

    In this order (DICOM PS3.4, N.2): modality LUT or rescale, VOI LUT or the first window, inversion of MONOCHROME1
    within the film's own range. Padding outside the exposed field becomes the darkest value.

    Args:
        path: CR, DX or secondary capture, with or without preamble, in any transfer syntax that a plugin of pydicom
            decodes.

    Returns:
        H x W float32 and metadata: "pixel_spacing" (row, column) in mm and "spacing_source" where the file says them,
        "patient_orientation" likewise.

    Raises:
        BundleError: no DICOM, no pixels or too many, another modality, several frames, or a palette.
        Exception: what pydicom raises on damaged pixels.
    """
    import pydicom

    dataset = pydicom.dcmread(path, force=True)
    check_film(dataset, path)
    if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
        implicit, little = dataset.original_encoding
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = _plain_syntax(implicit, little)
    return to_gray(stored_pixels(dataset, path), dataset), film_meta(dataset)


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
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise BundleError(f"{path}: pseudo-coloured (PALETTE COLOR), expected gray or RGB")


def _plain_syntax(implicit: bool, little: bool) -> str:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def to_gray(stored: np.ndarray, dataset) -> np.ndarray:
    """Displayed grays of the `stored_pixels` of `dataset`: H x W float32."""
    try:
        from pydicom.pixels import apply_modality_lut, apply_voi_lut
    except ImportError:  # pydicom 2, which MONAI Label needs
        from pydicom.pixel_data_handlers.util import apply_modality_lut, apply_voi_lut

    if stored.ndim == 3:
        return to_rgb(stored, dataset).astype(np.float32) @ LUMA
    shown = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(np.float32)
    padding = padded(stored, dataset)
    exposed = shown[~padding] if padding.any() and not padding.all() else shown
    low, high = exposed.min(), exposed.max()
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        shown = high + low - shown
    if exposed is not shown:
        shown[padding] = low
    return shown


def to_rgb(stored: np.ndarray, dataset) -> np.ndarray:
    """RGB of a colour capture as `Dataset.pixel_array` gives it."""
    try:
        import pydicom.pixels  # noqa: F401
    except ImportError:  # pydicom 2 leaves YBR as it is stored
        from pydicom.pixel_data_handlers.util import convert_color_space

        return convert_color_space(stored, dataset.PhotometricInterpretation, "RGB")
    return stored


def padded(stored: np.ndarray, dataset) -> np.ndarray:
    """Which pixels lie outside the exposed field (PixelPaddingValue, or the range up to PixelPaddingRangeLimit)."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if limit is None else limit)))
    return (stored >= low) & (stored <= high)


def film_meta(dataset) -> dict[str, object]:
    """Spacing and orientation that `dataset` states."""
    meta: dict[str, object] = {}
    spacing = film_spacing(dataset)
    if spacing is not None:
        meta["pixel_spacing"], meta["spacing_source"] = np.array(spacing[0]), spacing[1]
    orientation = dataset.get("PatientOrientation") or ()
    if len(orientation) == 2:
        meta["patient_orientation"] = "\\".join(orientation)
    return meta


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
            if name == "ImagerPixelSpacing" and factor:
                return (row / float(factor), column / float(factor)), f"{name}, magnification {float(factor):g}"
            return (row, column), name
    return None
