"""Films and masks in the formats of published data sets, as arrays and as PNG files that training reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..documents import check_head, read_table
from ..errors import BundleError
from ..files import replacing
from ..films.raster import check_raster, to_gray
from ..films.reading import first_line, read_film
from .layouts import MaskTable, RawFormat


def read_gray(path: str | Path) -> np.ndarray:
    """Any film that `read_film` reads, as rows x columns of float32.

    Raises:
        BundleError: it cannot be read.
    """
    return read_film(path).values


def read_raw(path: str | Path, raw: RawFormat) -> np.ndarray:
    """A film without header, bone bright, as rows x columns of 16-bit values that fill their range.

    Raises:
        BundleError: the file has another size, or values of more bits.
    """
    kind = np.dtype(raw.dtype)
    content = Path(path).read_bytes()
    if len(content) != raw.height * raw.width * kind.itemsize:
        raise BundleError(
            f"{path}: holds {len(content)} bytes, expected {raw.height} x {raw.width} words of {kind.itemsize} bytes"
        )
    values = np.frombuffer(content, kind).reshape(raw.height, raw.width).astype(np.uint16)
    most = 2**raw.bits - 1
    if values.max() > most:
        raise BundleError(
            f"{path}: holds the value {values.max()}, more than {raw.bits} bits; is the byte order another?"
        )
    return (most - values if raw.inverted else values) << (16 - raw.bits)


def read_values(path: str | Path) -> tuple[np.ndarray, str]:
    """Values of a mask in any raster format as rows x columns, and the format's name.

    Raises:
        BundleError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file, Image.open(file) as image:  # see `read_raster`
            check_raster(image, path)
            return np.asarray(to_gray(image)), image.format
    except FileNotFoundError as error:
        raise BundleError(f"{path}: no such file") from error
    except Exception as error:  # every reader has its own family of errors for a damaged file
        raise BundleError(f"{path}: cannot be read as a mask ({first_line(error)})") from error


def is_ready(values: np.ndarray, kind: str) -> bool:
    """Whether training reads a mask as it is: PNG, and its values are 0 and 255, or 0 and 1, or one of them."""
    found = set(np.unique(values).tolist())
    return kind == "PNG" and (found <= {0, 255} or found <= {0, 1})


def as_mask(values: np.ndarray, path: str | Path, threshold: float | None = None) -> np.ndarray:
    """Values of a mask as booleans.

    Args:
        values: two of them, of which 0 is the background.
        path: named in the error.
        threshold: makes a mask of any values: what is above belongs to it.

    Raises:
        BundleError: there are more values and no threshold.
    """
    if threshold is not None:
        return values > threshold
    found = np.unique(values)
    if len(found) > 2 or (len(found) == 2 and found[0] != 0):
        listed = ", ".join(f"{value:g}" for value in found[:6])
        raise BundleError(f"{path}: mask holds the values {listed}{' ...' if len(found) > 6 else ''}; pass --threshold")
    return values > 0


def resized(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask at another size: a pixel belongs to it where half of it or more is covered.

    Nearest neighbours would take one of the pixels below and move outlines by up to half a pixel.
    """
    if mask.shape == (height, width):
        return mask
    covered = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(covered) >= 0.5


def merged(masks: Sequence[np.ndarray], as_classes: bool) -> np.ndarray:
    """Masks of several organs as one: 0 and 255, or class numbers in their order, of which the later ones lie above."""
    labels = np.zeros(masks[0].shape, dtype=np.uint8)
    for number, mask in enumerate(masks, start=1):
        labels[mask] = number if as_classes else 255
    return labels


def write_png(path: str | Path, array: np.ndarray) -> None:
    """Write 8- or 16-bit gray, in one piece."""
    with replacing(path) as partial:
        # The usual level 6 takes ten times as long on 16-bit films and saves 7 % of their size
        Image.fromarray(array).save(partial, format="PNG", compress_level=1)


def read_runs(path: str | Path, table: MaskTable) -> dict[str, list[str]]:
    """Rows of a run-length table by image; a row that says `none` leaves its image without runs.

    Raises:
        BundleError: see `read_table`; or there is no row.
    """
    found: dict[str, list[str]] = defaultdict(list)
    # Kaggle's tables have a space after the comma
    rows = [{name.strip(): text.strip() for name, text in row.items()} for _, row in read_table(path, (), spaced=True)]
    if not rows:
        raise BundleError(f"{path}: holds no rows of masks")
    check_head(path, list(rows[0]), (table.id, table.runs))
    for row in rows:
        runs = found[row[table.id]]
        if row[table.runs] != table.none:
            runs.append(row[table.runs])
    return dict(found)


def decode_runs(runs: str, height: int, width: int) -> np.ndarray:
    """The mask of relative runs: pairs of a gap, counted from the end of the run before, and a length.

    Pixels are counted down the columns from the upper left, from 0.

    Returns:
        height x width booleans.

    Raises:
        BundleError: no numbers, not in pairs, or beyond the last pixel.
    """
    try:
        numbers = np.array(runs.split(), dtype=np.int64)
    except ValueError as error:
        raise BundleError(f"runs {runs[:40]!r} are no numbers") from error
    if len(numbers) == 0 or len(numbers) % 2 or numbers.min() < 0:
        raise BundleError(f"runs {runs[:40]!r} must be pairs of a gap and a length")
    ends = numbers.cumsum()
    if ends[-1] > height * width:
        raise BundleError(f"runs reach pixel {ends[-1]} of {height} x {width}")
    steps = np.zeros(height * width + 1, dtype=np.int8)
    np.add.at(steps, ends[::2], 1)
    np.add.at(steps, ends[1::2], -1)
    return (steps[:-1].cumsum() > 0).reshape(width, height).T
