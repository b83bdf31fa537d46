"""DICOM windows: such as can be meant, and such as cannot (PS3.3 C.11.2.1.2, C.11.2.1.3)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from .dicom_writing import stored, write_dicom
from .forms import FORMS, Variant
from .geometry import Film

TOP = 4095  # of 12 bits


def inverted_or_not(film: Film, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """12-bit pixels and their photometric interpretation, MONOCHROME1 for one film in three."""
    pixels = stored(film.image)
    return (TOP - pixels, "MONOCHROME1") if rng.random() < 1 / 3 else (pixels, "MONOCHROME2")


def windowed(kind: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A window of one kind on a film of 12 bits whose values need none."""
    pixels, photometric = inverted_or_not(film, rng)
    middle, width = float(rng.integers(1000, 3000)), float(rng.integers(3500, 4500))
    lung = float(np.median(pixels[film.mask])) if film.mask.any() else middle
    far = float(rng.choice([-30000, -6000, 9000, 30000, 60000]))
    kinds: dict[str, tuple[object, object]] = {
        "width_0": (middle, 0),
        "width_1": (float(rng.choice([middle, lung])), 1),
        "negative": (middle, -width),
        "far": (far, float(rng.integers(200, 2000))),
        "narrow": (lung + float(rng.uniform(-100, 100)), float(rng.integers(40, 600))),
        "wide": (float(rng.choice([0, middle, 32768])), 65536.0),
        "empty": (None, "") if rng.random() < 0.5 else ("", ""),
        "second": ([far, 2048.0], [float(rng.choice([0, 1, 300])), 4096.0]),
        "third": ([middle, lung, 2048.0], [0.0, 60.0, 4096.0]),
        "unpaired": ([2048.0, lung], 4096.0),
    }
    centre, wide = kinds[kind]
    tags = {"WindowCenter": centre, "WindowWidth": wide}
    if kind == "second":
        tags["WindowCenterWidthExplanation"] = ["WINDOW1", "WINDOW2"]
    return Variant(write_dicom(path, pixels, tags, photometric=photometric), film, f"{photometric} {centre}/{wide}")


for name in ("width_0", "width_1", "negative", "far", "narrow", "wide", "empty", "second", "third", "unpaired"):
    FORMS.add(f"window_{name}", "values", partial(windowed, name))


def with_outliers(pixels: np.ndarray, mask: np.ndarray, rng: np.random.Generator, low: int, high: int) -> np.ndarray:
    """`pixels` with lead letters in two corners and a line of dead pixels, all far from the film's own values."""
    pixels = pixels.copy()
    height, width = pixels.shape
    for corner in rng.permutation(4)[:2]:
        rows, columns = int(height * rng.uniform(0.04, 0.1)), int(width * rng.uniform(0.08, 0.14))
        top, left = (corner // 2) * (height - rows), (corner % 2) * (width - columns)
        part = np.s_[top : top + rows, left : left + columns]
        pixels[part] = np.where(mask[part], pixels[part], high)
    line = int(rng.integers(0, height // 20))
    pixels[line] = np.where(mask[line], pixels[line], low)
    return pixels


def sensible(function: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A window that shows the film, whose values go far beyond it."""
    centre, width = float(rng.integers(18000, 30000)), float(rng.integers(6000, 20000))
    if function == "SIGMOID":
        values = centre - width / 4 * np.log(1 / film.image.clip(0.01, 0.99) - 1)
    elif function == "LINEAR_EXACT":
        values = centre + (film.image - 0.5) * width
    else:
        values = centre - 0.5 + (film.image - 0.5) * (width - 1)
    pixels = with_outliers(np.round(values.clip(0, 65535)).astype(np.uint16), film.mask, rng, 0, 65535)
    photometric = "MONOCHROME2"
    if rng.random() < 1 / 3:  # the window is on the stored values, and is turned over with them
        # LINEAR is not symmetric about its centre, but about half a value below (C.11.2.1.2.1)
        pixels, photometric = 65535 - pixels, "MONOCHROME1"
        centre = 65535 - centre + (1 if function == "LINEAR" else 0)
    tags = {"WindowCenter": centre, "WindowWidth": width}
    if function != "LINEAR" or rng.random() < 0.5:  # the default need not be said
        tags["VOILUTFunction"] = function
    written = write_dicom(path, pixels, tags, bits=16, photometric=photometric)
    return Variant(written, film, f"{photometric} {function} {centre:g}/{width:g}")


for name in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
    FORMS.add(f"window_{name.lower()}", "values", partial(sensible, name))
