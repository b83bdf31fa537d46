"""DICOM pixels whose bits are not where one looks first (PS3.5 8.1, PS3.3 C.7.5.1.1.2, C.9.2)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from .dicom_writing import stored, write_dicom
from .forms import FORMS, Variant
from .geometry import Film
from .lettering import letters


@FORMS.form("signed_12", "values")
def signed_12(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Signed, the sign repeated in the bits above."""
    pixels = stored(film.image).astype(np.int16) - 2048
    return Variant(write_dicom(path, pixels), film, "sign extended")


@FORMS.form("signed_12_not_extended", "values")
def signed_12_not_extended(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Signed, zeros or noise in the bits above."""
    pixels = (stored(film.image).astype(np.int16) - 2048).astype(np.uint16) & 0x0FFF
    noisy = bool(rng.random() < 0.5)
    if noisy:
        pixels |= rng.integers(0, 16, pixels.shape, dtype=np.uint16) << 12
    return Variant(write_dicom(path, pixels, {"PixelRepresentation": 1}), film, f"noise above {noisy}")


@FORMS.form("signed_16", "values")
def signed_16(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Signed 16 bits, and perhaps MONOCHROME1."""
    pixels, photometric = (stored(film.image, 15).astype(np.int32) - 16384).astype(np.int16), "MONOCHROME2"
    if rng.random() < 0.5:
        pixels, photometric = -pixels, "MONOCHROME1"
    return Variant(write_dicom(path, pixels, bits=16, photometric=photometric), film, photometric)


@FORMS.form("high_bit_15", "values")
def high_bit_15(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """The value sits in the upper bits; zeros or noise below."""
    bits = int(rng.choice([10, 12]))
    pixels = stored(film.image, bits) << (16 - bits)
    noisy = bool(rng.random() < 0.5)
    if noisy:
        pixels |= rng.integers(0, 2 ** (16 - bits), pixels.shape, dtype=np.uint16)
    return Variant(write_dicom(path, pixels, {"HighBit": 15}, bits=bits), film, f"{bits} bits, noise below {noisy}")


@FORMS.form("overlay_in_pixels", "values")
def overlay_in_pixels(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A drawing in an unused bit of each word (60xx,0102)."""
    bit = int(rng.integers(12, 16))
    drawing = letters(film.image.shape, rng, count=3) > 0.5
    height, width = drawing.shape
    drawing[height // 3 : height // 3 + 4, width // 8 : -width // 8] = True
    tags = {
        "OverlayRows": height,
        "OverlayColumns": width,
        "OverlayType": "G",
        "OverlayOrigin": [1, 1],
        "OverlayBitsAllocated": 16,
        "OverlayBitPosition": bit,
    }
    pixels = stored(film.image) | (drawing.astype(np.uint16) << bit)
    return Variant(write_dicom(path, pixels, overlays(tags, 0x6000 + 2 * int(rng.integers(0, 4)))), film, f"bit {bit}")


def overlays(tags: dict[str, object], group: int) -> dict:
    """Elements of a repeating group, by number."""
    numbers = {
        "OverlayRows": (0x10, "US"),
        "OverlayColumns": (0x11, "US"),
        "OverlayType": (0x40, "CS"),
        "OverlayOrigin": (0x50, "SS"),
        "OverlayBitsAllocated": (0x100, "US"),
        "OverlayBitPosition": (0x102, "US"),
    }
    return {(group, numbers[name][0]): (numbers[name][1], value) for name, value in tags.items()}


@FORMS.form("bits_stored_too_small", "values")
def bits_stored_too_small(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """More bits are used than the header says."""
    said = int(rng.choice([8, 10, 11]))
    return Variant(write_dicom(path, stored(film.image), bits=said), film, f"12 bits, said {said}")


@FORMS.form("bits_stored_16", "values")
def bits_stored_16(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Fewer bits are used than the header says, with MONOCHROME1 or 2."""
    bits = int(rng.choice([8, 10, 12]))
    pixels, photometric = stored(film.image, bits).astype(np.uint16), "MONOCHROME2"
    if rng.random() < 0.5:
        pixels, photometric = pixels.max() - pixels, "MONOCHROME1"
    return Variant(write_dicom(path, pixels, bits=16, photometric=photometric), film, f"{bits} bits, {photometric}")


@FORMS.form("transfer_syntax", "values")
def transfer_syntax(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Written in another order or packed, without loss."""
    syntaxes = (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless)
    syntax = syntaxes[rng.integers(len(syntaxes))]
    return Variant(write_dicom(path, stored(film.image), syntax=syntax), film, syntax.name)


def padded(kind: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A scanned film within padding of one value or of a range (PixelPaddingValue, PixelPaddingRangeLimit)."""
    height, width = film.image.shape
    top, bottom, left, right = (int(side * rng.uniform(0.03, 0.2)) for side in (height, height, width, width))
    move = np.array([[1, 0, -top], [0, 1, -left], [0, 0, 1]], float)
    shown, depth = film.on_canvas(height + top + bottom, width + left + right, move)
    pixels = stored(shown.image).astype(np.int32) + 500
    low, high = {"black": (0, 0), "white": (65535, 65535), "black_range": (0, 60), "white_range": (64000, 65535)}[kind]
    padding = rng.integers(low, high + 1, pixels.shape)
    pixels = np.where(depth > 0, pixels, padding).astype(np.uint16)
    tags: dict[str, object] = {"PixelPaddingValue": low}
    if high > low:
        tags["PixelPaddingRangeLimit"] = high
    return Variant(write_dicom(path, pixels, tags, bits=16), shown, f"{low} to {high}")


for name in ("black", "white", "black_range", "white_range"):
    FORMS.add(f"padding_{name}", "values", partial(padded, name))
