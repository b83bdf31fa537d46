"""From stored numbers of a DICOM film to the grays that a person is meant to see: bone bright.

In this order (PS3.4, N.2): the bits that hold the value, modality LUT or rescale, VOI LUT or window, and the polarity.
A film FOR PROCESSING is no picture yet, and becomes one by the logarithm that turns exposure into thickness.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import BundleError
from .lookup_tables import LookupTable
from .stored_bits import stored_values
from .windows import Window, can_be_meant, without_overprint

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow weighs colour
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"  # Digital X-Ray Image Storage - For Processing
# Added to an exposure before its logarithm, of the largest: what lies far below is scatter and noise, which a logarithm
# would spread over half of the grays
SCATTER = 0.02


def displayed(pixels: np.ndarray, dataset, path: str | Path) -> tuple[np.ndarray, str, bool]:
    """Grays of the decoded `pixels` of `dataset`.

    Returns:
        H x W float32; which of the file's words they follow; and whether the file says which end is bright.

    Raises:
        BundleError: a palette of colours; names `path`.
    """
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        return of_palette(pixels, dataset, path), "palette", False
    if pixels.ndim == 3:
        return to_rgb(pixels, dataset).astype(np.float32) @ LUMA, "colour", False
    stored = stored_values(pixels, dataset)
    padding = padded(stored, pixels, dataset)
    values, source = modality_values(stored, dataset)
    exposed = values[~padding] if padding.any() and not padding.all() else values
    if is_for_processing(dataset):
        shown, inverted, known = of_exposure(values, dataset)
        source = f"FOR PROCESSING, {dataset.get('PixelIntensityRelationship') or 'relationship not given'}"
    else:
        shown, source = chosen_window(values, exposed, dataset, source)
        inverted, known = is_inverted(dataset), not contradicts_itself(dataset)
    inner = shown[~padding] if exposed is not values else shown
    low, high = inner.min(), inner.max()
    if inverted:
        shown = high + low - shown
    if exposed is not values:
        shown[padding] = low
    return shown.astype(np.float32, copy=False), source, known


def to_rgb(stored: np.ndarray, dataset) -> np.ndarray:
    """RGB of a colour capture as `Dataset.pixel_array` gives it."""
    try:
        import pydicom.pixels  # noqa: F401
    except ImportError:  # pydicom 2 leaves YBR as it is stored
        from pydicom.pixel_data_handlers.util import convert_color_space

        return convert_color_space(stored, dataset.PhotometricInterpretation, "RGB")
    return stored


def of_palette(pixels: np.ndarray, dataset, path: str | Path) -> np.ndarray:
    """Grays of a film whose palette is gray."""
    try:
        from pydicom.pixels import apply_color_lut
    except ImportError:
        from pydicom.pixel_data_handlers.util import apply_color_lut

    colours = apply_color_lut(pixels, dataset)[..., :3].astype(np.float32)
    if np.ptp(colours, axis=-1).max() > 0.02 * max(float(colours.max()), 1.0):
        raise BundleError(f"{path}: pseudo-coloured (PALETTE COLOR), expected gray or RGB")
    return np.ascontiguousarray(colours[..., 0])


def padded(stored: np.ndarray, pixels: np.ndarray, dataset) -> np.ndarray:
    """Which pixels lie outside the exposed field (PixelPaddingValue, or the range up to PixelPaddingRangeLimit).

    Senders write the value as it is stored or as it is meant, signed or not.
    """
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if limit is None else limit)))
    found = (stored >= low) & (stored <= high)
    if not found.any() and low == high:
        period = 1 << (8 * pixels.dtype.itemsize)
        found = (pixels.astype(np.int64) - low) % period == 0
    return found


def modality_values(stored: np.ndarray, dataset) -> tuple[np.ndarray, str]:
    """H x W float32 after the modality LUT or the rescale."""
    for item in dataset.get("ModalityLUTSequence") or ():
        table = LookupTable.of(item, dataset)
        if table is not None:
            return table.apply(stored), "modality LUT"
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    slope = 1.0 if slope is None or float(slope) == 0 else float(slope)  # 0 would leave nothing of the film
    values = stored.astype(np.float32)
    if slope != 1 or intercept:
        return values * np.float32(slope) + np.float32(intercept or 0), "rescale"
    return values, "as stored"


def is_for_processing(dataset) -> bool:
    intent = str(dataset.get("PresentationIntentType") or "").strip().upper()
    return intent == "FOR PROCESSING" or (not intent and dataset.get("SOPClassUID") == FOR_PROCESSING)


def of_exposure(values: np.ndarray, dataset) -> tuple[np.ndarray, bool, bool]:
    """Grays of a film FOR PROCESSING (PS3.3, C.8.11.3), whether they are still inverted, and whether that is sure."""
    relationship = str(dataset.get("PixelIntensityRelationship") or "").strip().upper()
    sign = dataset.get("PixelIntensityRelationshipSign")
    sign = int(sign) if sign else 0
    if relationship == "LIN":
        exposure = values if sign >= 0 else values.max() - values  # -1: the larger the value, the less came through
        exposure = np.maximum(exposure, 0)
        return np.log(exposure + max(SCATTER * float(exposure.max()), 1e-6)), True, sign != 0
    return values, sign > 0 if sign else is_inverted(dataset), sign != 0


def chosen_window(values: np.ndarray, exposed: np.ndarray, dataset, source: str) -> tuple[np.ndarray, str]:
    """`values` through the first VOI LUT or window that can be meant, else as they are."""
    brightest = (1 << int(dataset.BitsStored)) - 1
    candidates = [(f"VOI LUT {n}", LookupTable.of(item, dataset, voi=True)) for n, item in _numbered(dataset)]
    candidates += [(f"window {n}", window) for n, window in enumerate(Window.all_of(dataset, brightest), start=1)]
    for name, window in candidates:
        if window is not None and can_be_meant(window, exposed):
            return window.apply(values), name if source == "as stored" else f"{source}, {name}"
    if candidates:
        names = " and ".join(name for name, _ in candidates)
        source = f"{source}, since {names} cannot be meant"
    return without_overprint(values), source


def _numbered(dataset) -> enumerate:
    return enumerate(dataset.get("VOILUTSequence") or (), start=1)


def is_inverted(dataset) -> bool:
    """Whether the lowest value is meant to be bright: by the photometric interpretation or PresentationLUTShape."""
    return dataset.get("PhotometricInterpretation") == "MONOCHROME1" or presentation_shape(dataset) == "INVERSE"


def contradicts_itself(dataset) -> bool:
    """Whether PresentationLUTShape is not the one that belongs to the photometric interpretation (C.11.6.1.2)."""
    inverse = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    return presentation_shape(dataset) == ("IDENTITY" if inverse else "INVERSE")


def presentation_shape(dataset) -> str:
    return str(dataset.get("PresentationLUTShape") or "").strip().upper()
