"""A film as its file holds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .pose import Pose

NONE = ""


@dataclass(frozen=True)
class StoredFilm:
    """Grays in the file's own pixel order, and what the file says of them.

    Attributes:
        values: H x W float32, as they are meant to be displayed: bone bright, as far as the file knows.
        values_source: which of the file's words they follow, such as "window 1".
        polarity_known: whether the file says which end is bright.
        pose: what makes the film upright, or None where the file does not say.
        pose_source: the attribute that says so, or "".
        spacing: (row, column) in mm, or None.
        spacing_source: the attribute that says so, or "".
        aspect: height of a pixel over its width.
        aspect_source: the attribute that says so, or "".
        collimation: 4 x 2 corners (x, y) of the exposed field in pixels of the file, or None.
        collimation_source: the attribute that says so, or "".
        affine: 4 x 4 from (column, row, 0, 1) to mm, RAS+, where the file states one (NIfTI), else None.
    """

    values: np.ndarray
    values_source: str = "as stored"
    polarity_known: bool = False
    pose: Pose | None = None
    pose_source: str = NONE
    spacing: tuple[float, float] | None = None
    spacing_source: str = NONE
    aspect: float = 1.0
    aspect_source: str = NONE
    collimation: np.ndarray | None = None
    collimation_source: str = NONE
    affine: np.ndarray | None = None
