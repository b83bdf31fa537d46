"""A film as a person expects to see it, and the way from there back to the file's own pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .film import StoredFilm
from .intensity import percentiles
from .record import Record
from .resampling import resized

SHOWN = (0.5, 99.5)  # percentiles of the exposed field that become black and white, as for the network
HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # from centres of pixels to their corners


@dataclass(frozen=True)
class FilmPicture:
    """The whole upright film.

    Not the exposed field alone: who judges a mask must see what was taken for the surround.

    Attributes:
        pixels: H x W uint8; bone bright.
        to_file: 3 x 3 matrix from (x, y, 1) of the picture to those of the file; corners of pixels are whole numbers,
            so that (0, 0) is the outer corner of the first pixel, as boxes and canvases count.
        field: 4 x 2 corners (x, y) of the exposed field in the picture, from its upper left clockwise, or None where
            all of the film was exposed.
    """

    pixels: np.ndarray
    to_file: np.ndarray
    field: np.ndarray | None


def film_picture(film: StoredFilm, values: np.ndarray, record: Record, longest_side: int) -> FilmPicture:
    """Picture of a film.

    Args:
        film: as its file holds it.
        values, record: what `canonical` made of it.
        longest_side: of the picture in pixels, at most; smaller films keep their size.
    """
    stored = film.values.max() + film.values.min() - film.values if record.inverted else film.values
    whole = replace(record, field=None)
    shrink = min(1.0, longest_side / max(whole.shape))
    height, width = (max(1, round(side * shrink)) for side in whole.shape)
    low, high = percentiles(values, SHOWN)
    share = (resized(whole.apply(stored), height, width) - low) / max(high - low, 1e-6)
    scale = np.array([whole.columns / width, whole.rows / height])
    return FilmPicture(
        pixels=(share.clip(0, 1) * 255 + 0.5).astype(np.uint8),
        to_file=HALF @ whole.to_stored() @ np.linalg.inv(HALF) @ np.diag([*scale, 1.0]),
        field=None if record.field is None else record.field.corners / scale,
    )
