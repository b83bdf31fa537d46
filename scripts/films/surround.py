"""What surrounds a film: grays that hang together with the edge of the picture, on unevenly lit ground, too."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

TOLERANCE = 0.07  # how far a surround's grays lie apart, of the picture's range
RING = 0.12  # share of the outermost pixels that are alike, below which there is no surround
FLAT_RING = 0.2  # the same, of two in sixteen grays, below which none is looked for
SPECK = 0.004  # of the picture: smaller islands in a surround are letters and markers


def has_flat_ring(picture: np.ndarray) -> bool:
    """Whether enough of the outermost pixels of a picture are about as bright, on unevenly lit ground, too."""
    ring = outermost(picture)
    low, high = picture.min(), picture.max()
    counts = np.histogram(ring, 16, (low, high if high > low else low + 1))[0]
    return bool((counts[:-1] + counts[1:]).max() >= FLAT_RING * len(ring))


def outermost(picture: np.ndarray) -> np.ndarray:
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def levels(picture: np.ndarray) -> list[float]:
    """Grays that a good share of the outermost pixels have, at most two."""
    counts, edges = np.histogram(outermost(picture), 16, (0, 1))
    share = counts / counts.sum()
    order = [bin_ for bin_ in np.argsort(-share, kind="stable") if share[bin_] >= RING / 2]
    chosen: list[float] = []
    for bin_ in order:
        level = float(edges[bin_] + edges[bin_ + 1]) / 2
        if all(abs(level - other) > 2 * TOLERANCE for other in chosen):
            chosen.append(level)
    return chosen[:2]


def surround_of(picture: np.ndarray, level: float) -> np.ndarray:
    """Pixels about as bright as `level` that hang together with the picture's edge, with the specks within them.

    Light boxes and walls are brighter here than there, as a slope over the picture.
    """
    alike = np.abs(picture - slope_of(picture, level)) <= TOLERANCE
    parts, _ = ndimage.label(alike)
    touching = np.zeros(parts.max() + 1, dtype=bool)
    touching[outermost(parts)] = True
    touching[0] = False
    surround = touching[parts]
    islands, _ = ndimage.label(~surround)
    sizes = np.bincount(islands.ravel())
    small = sizes < SPECK * picture.size
    small[0] = False
    return surround | small[islands]


def slope_of(picture: np.ndarray, level: float) -> np.ndarray:
    """The plane through those outermost pixels of an H x W picture that are about as bright as `level`."""
    height, width = picture.shape
    ring = outermost(picture)
    rows, columns = np.arange(height), np.arange(width)
    y = outermost(np.broadcast_to(rows[:, None], picture.shape)) / height
    x = outermost(np.broadcast_to(columns, picture.shape)) / width
    terms = np.column_stack([np.ones(len(ring)), x, y])
    plane, reach = np.array([level, 0.0, 0.0]), 2.5 * TOLERANCE
    for _ in range(2):
        near = np.abs(ring - terms @ plane) <= reach
        if near.sum() < RING * len(ring):
            return np.float32(level)
        plane = np.linalg.lstsq(terms[near], ring[near], rcond=None)[0]
        reach = max(TOLERANCE, 0.7 * reach)
    return (plane[0] + plane[1] * columns / width + plane[2] * rows[:, None] / height).astype(np.float32)
