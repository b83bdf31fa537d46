"""DICOM values that pass a table or a line before they are shown (PS3.3 C.7.6.3.1.5, C.11.1, C.11.2, C.11.6)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from .dicom_writing import DX_FOR_PRESENTATION, SECONDARY_CAPTURE, lut, stored, write_dicom
from .forms import FORMS, Variant
from .forms_windows import TOP, with_outliers
from .geometry import Film


def bent(image: np.ndarray, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Stored values 0..`size` - 1 of `image`, and the curve in [0, 1] that brings them back, one value an entry."""
    gamma = float(
        np.exp(rng.uniform(*((np.log(0.35), np.log(0.7)) if rng.random() < 0.5 else (np.log(1.5), np.log(3)))))
    )
    return np.round(image**gamma * (size - 1)).astype(np.int64), np.linspace(0, 1, size) ** (1 / gamma)


def voi_lut(kind: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Values that look wrong until the VOI LUT is applied; entries of every width."""
    values, curve = bent(film.image, rng, 4096)
    bits = {"16": 16, "12": 12, "10": 10}.get(kind, 8)
    first, extra, said, descriptor = 0, {}, bits, "US"
    if kind == "signed":
        bits = said = int(rng.choice([12, 16]))
        first = -int(rng.integers(500, 2048))
        values = values + first
        descriptor = str(rng.choice(["SS", "US"]))  # some write the negative number as an unsigned word
    elif kind == "offset":  # values before the first entry take it, values beyond the last take that (C.11.2.1.1)
        bits = said = 16
        first = int(rng.integers(1000, 20000))
        values = with_outliers(values + first, film.mask, rng, 0, 65535)
    elif kind == "descending":
        bits = said = 14
        values, curve = TOP - values, curve[::-1]
    elif kind == "says_16":  # entries of fewer bits than the descriptor says
        bits, said = int(rng.choice([8, 10, 12])), 16
    elif kind == "full":
        bits = said = 16
        values, curve = bent(film.image, rng, 65536)
    entries = np.round(curve * (2**bits - 1)).astype(np.int64)
    item = lut(entries, first, said, packed=kind == "8_packed", descriptor=descriptor, LUTExplanation="LUNG")
    pixels = values.astype(np.int16 if kind == "signed" else np.uint16)
    if kind == "or_window":
        extra = {"WindowCenter": float(rng.integers(0, 4096)), "WindowWidth": float(rng.choice([0, 1, 50]))}
    wide = 16 if kind in ("full", "offset", "signed") else 12
    written = write_dicom(path, pixels, {"VOILUTSequence": [item], **extra}, bits=wide)
    return Variant(written, film, f"{len(entries)} entries of {bits} bits, said {said}, first {first} {descriptor}")


for name in ("16", "12", "10", "8_in_16", "8_packed", "signed", "offset", "descending", "says_16", "full", "or_window"):
    FORMS.add(f"voi_lut_{name}", "values", partial(voi_lut, name))


@FORMS.form("voi_lut_flat", "values")
def voi_lut_flat(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A LUT that cannot be meant: all entries alike, or for values that no pixel has."""
    if rng.random() < 0.5:
        item, detail = lut(np.full(4096, int(rng.choice([0, 4095]))), 0, 12), "all alike"
    else:
        item, detail = lut(np.linspace(0, 4095, 256).astype(int), 20000, 12), "beyond all values"
    return Variant(write_dicom(path, stored(film.image), {"VOILUTSequence": [item]}), film, detail)


@FORMS.form("modality_lut", "values")
def modality_lut(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    values, curve = bent(film.image, rng, 4096)
    bits = int(rng.choice([12, 16]))
    top = 2**bits - 1
    item = lut(np.round(curve * top).astype(int), 0, bits, ModalityLUTType=str(rng.choice(["US", "OD"])))
    tags: dict[str, object] = {"ModalityLUTSequence": [item]}
    if rng.random() < 0.5:  # in what the modality LUT gives
        tags |= {"WindowCenter": (top + 1) / 2, "WindowWidth": top + 1}
    return Variant(write_dicom(path, values.astype(np.uint16), tags), film, f"{bits} bits, window {len(tags) > 1}")


def rescaled(kind: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """RescaleSlope and RescaleIntercept, with a window in what they give."""
    slope = float(rng.choice([0.25, 0.5, 1.0, 2.5]))
    intercept = -float(rng.integers(200, 3000))
    pixels = stored(film.image)
    if kind == "negative_slope":
        pixels, slope = TOP - pixels, -slope
    elif kind == "slope_0":
        slope, intercept = 0.0, float(rng.choice([0, -1024]))
    tags: dict[str, object] = {"RescaleSlope": slope, "RescaleIntercept": intercept, "RescaleType": "US"}
    if kind != "slope_0" and rng.random() < 0.7:
        ends = intercept, intercept + slope * TOP
        tags |= {"WindowCenter": (ends[0] + ends[1]) / 2, "WindowWidth": abs(slope) * TOP + 1}
    return Variant(write_dicom(path, pixels, tags), film, f"slope {slope:g}, intercept {intercept:g}")


for name in ("negative_intercept", "negative_slope", "slope_0"):
    FORMS.add(f"rescale_{name}", "values", partial(rescaled, name))


def shaped(photometric: str, shape: str, dark: bool, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """PresentationLUTShape: INVERSE goes with MONOCHROME1 and says the same again; with MONOCHROME2 it inverts."""
    pixels = stored(film.image)
    pixels = TOP - pixels if dark else pixels
    sop_class = DX_FOR_PRESENTATION
    written = write_dicom(
        path, pixels, {"PresentationLUTShape": shape or None}, photometric=photometric, sop_class=sop_class
    )
    return Variant(written, film, f"{photometric} {shape}")


FORMS.add("monochrome1", "values", partial(shaped, "MONOCHROME1", "", True))
FORMS.add("monochrome1_inverse", "values", partial(shaped, "MONOCHROME1", "INVERSE", True))
FORMS.add("monochrome1_identity", "values", partial(shaped, "MONOCHROME1", "IDENTITY", True))
FORMS.add("monochrome2_inverse", "values", partial(shaped, "MONOCHROME2", "INVERSE", True))


@FORMS.form("palette_color", "values")
def palette_color(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Numbers of a gray palette, in any order, with entries of 8 or 16 bits (C.7.6.3.1.5, C.7.6.3.1.6)."""
    order = str(rng.choice(["rising", "falling", "shuffled"]))
    grays = {"rising": np.arange(256), "falling": np.arange(255, -1, -1), "shuffled": rng.permutation(256)}[order]
    numbers = np.argsort(grays)[stored(film.image, 8)].astype(np.uint8)
    bits = int(rng.choice([8, 16]))
    data = (grays * 257).astype("<u2").tobytes() if bits == 16 else grays.astype(np.uint8).tobytes()
    tags: dict[str, object] = {}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        tags[f"{colour}PaletteColorLookupTableData"] = data
    written = write_dicom(path, numbers, tags, bits=8, photometric="PALETTE COLOR", sop_class=SECONDARY_CAPTURE)
    return Variant(written, film, f"{order}, {bits} bits")


@FORMS.form("rgb_capture", "values")
def rgb_capture(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A secondary capture in colour, as a screen is copied; planes side by side or interleaved."""
    pixels = np.repeat(stored(film.image, 8)[..., None], 3, axis=2)
    planes = bool(rng.random() < 0.5)
    tags = {"PlanarConfiguration": int(planes)}
    if planes:  # as stored: all of one colour first
        pixels = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)).reshape(pixels.shape)
    written = write_dicom(path, pixels, tags, bits=8, photometric="RGB", sop_class=SECONDARY_CAPTURE)
    return Variant(written, film, f"planes {planes}")
