"""What lies around the exposed field, and where the field ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from .geometry import Film, turn_about

MARGIN = 0.02  # least distance of a shutter from the lungs, as a share of the film's shorter side


def surround(kind: str, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grays of what was not exposed: black, white (the detector's noise, and scatter near the field) or gray.

    Args:
        depth: H x W distances to the field's edge in pixels, negative outside.
    """
    noise = rng.normal(size=depth.shape)
    if kind == "black":  # blanked by the machine, or nearly so
        return np.clip(rng.uniform(0, 0.06) + noise * rng.choice([0, 0.004, 0.015]), 0, 1)
    if kind == "white":
        scatter = np.exp(np.minimum(depth, 0) / (rng.uniform(0.03, 0.12) * min(depth.shape)))
        return np.clip(rng.uniform(0.88, 1) - rng.uniform(0, 0.25) * scatter + noise * rng.uniform(0.005, 0.03), 0, 1)
    level = rng.uniform(0.3, 0.7)
    return np.clip(level + noise * rng.choice([0, 0.01]), 0, 1)


def within(film: Film, depth: np.ndarray, outside: np.ndarray, rng: np.random.Generator) -> Film:
    """`film` where `depth` is positive, `outside` elsewhere, with an edge as soft as a collimator's; nothing is lung
    outside."""
    share = np.clip(depth / rng.uniform(0.5, 3) + 0.5, 0, 1)
    return replace(film, image=np.clip(share * film.image + (1 - share) * outside, 0, 1), mask=film.mask & (depth > 0))


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """First and last row and column that hold lung; the whole film where none does."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, mask.shape[0] - 1, 0, mask.shape[1] - 1
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def some_sides(rng: np.random.Generator) -> np.ndarray:
    """One to four of the four sides: top, bottom, left, right."""
    sides = np.zeros(4, bool)
    sides[rng.permutation(4)[: int(rng.integers(1, 5))]] = True
    return sides


def trimmed(film: Film, sides: np.ndarray, rng: np.random.Generator) -> Film:
    """A film whose field ends nearer to the lungs on some sides."""
    top, bottom, left, right = extent(film.mask)
    height, width = film.image.shape
    least = int(MARGIN * min(height, width))
    room = np.maximum([top - least, height - 1 - bottom - least, left - least, width - 1 - right - least], 0)
    cut = (room * rng.uniform(0, 0.8, 4) * sides).astype(int)
    return film.cropped(int(cut[0]), int(height - cut[1]), int(cut[2]), int(width - cut[3]))


def canvas(
    film: Film, angle: float, sides: np.ndarray, rng: np.random.Generator, widths: tuple[float, float] = (0.06, 0.35)
) -> tuple[Film, np.ndarray]:
    """`film` turned by `angle` degrees on a larger detector, and how deep each pixel lies in it.

    Args:
        sides: those (top, bottom, left, right) on which the detector goes on beyond the film.
        widths: how far, as a share of the film's height or width.
    """
    height, width = film.image.shape
    middle = ((height - 1) / 2, (width - 1) / 2)
    corners = np.array([(r, c, 1) for r in (0, height - 1) for c in (0, width - 1)], float)
    out = np.linalg.inv(turn_about(angle, middle, (0.0, 0.0)))  # of the film to a canvas without a frame
    turned = corners @ out.T
    (upper, left), (lower, right) = turned[:, :2].min(axis=0), turned[:, :2].max(axis=0)
    if film.mask.any():
        lungs = np.column_stack([np.argwhere(film.mask), np.ones(film.mask.sum())]) @ out.T
        first, last = lungs[:, :2].min(axis=0), lungs[:, :2].max(axis=0)
    else:
        first, last = np.array([upper, left]) * 0.5, np.array([lower, right]) * 0.5
    wide = rng.uniform(*widths, 4) * np.array([height, height, width, width])
    # On a side without surround the detector ends within the film, between its turned corners and the lungs
    inset = np.abs(np.sin(np.deg2rad(angle))) * np.array([width, width, height, height])
    least = MARGIN * min(height, width)
    ends = np.array(
        [
            upper - wide[0] if sides[0] else min(upper + inset[0], first[0] - least),
            lower + wide[1] if sides[1] else max(lower - inset[1], last[0] + least),
            left - wide[2] if sides[2] else min(left + inset[2], first[1] - least),
            right + wide[3] if sides[3] else max(right - inset[3], last[1] + least),
        ]
    )
    size = int(np.ceil(ends[1] - ends[0])) + 1, int(np.ceil(ends[3] - ends[2])) + 1
    to_film = turn_about(angle, middle, (-ends[0], -ends[2]))
    return film.on_canvas(*size, to_film)


def shutters(film: Film, angle: float, sides: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """H x W distances to the edge of a turned rectangle that holds the lungs, negative outside."""
    height, width = film.image.shape
    radians = np.deg2rad(angle)
    down, right = np.array([np.cos(radians), -np.sin(radians)]), np.array([np.sin(radians), np.cos(radians)])
    places = np.moveaxis(np.indices((height, width)), 0, -1).astype(float)
    lungs = np.argwhere(film.mask) if film.mask.any() else np.argwhere(np.ones_like(film.mask))
    depth = np.full((height, width), np.inf)
    for side, normal in zip(sides, (-down, down, -right, right)):
        if side:
            edge = (lungs @ normal).max() + rng.uniform(MARGIN, 0.08) * min(height, width)
            depth = np.minimum(depth, edge - places @ normal)
    return depth


def circle(film: Film, rng: np.random.Generator) -> np.ndarray:
    """H x W distances to the edge of a circle that holds the lungs, negative outside."""
    places = np.moveaxis(np.indices(film.image.shape), 0, -1).astype(float)
    lungs = np.argwhere(film.mask) if film.mask.any() else np.argwhere(np.ones_like(film.mask))
    middle = (lungs.min(axis=0) + lungs.max(axis=0)) / 2
    radius = np.linalg.norm(lungs - middle, axis=1).max() + rng.uniform(MARGIN, 0.06) * min(film.image.shape)
    return radius - np.linalg.norm(places - middle, axis=-1)


def smooth_light(shape: tuple[int, int], rng: np.random.Generator, strength: float) -> np.ndarray:
    """H x W factors around 1 that vary slowly: an uneven light box."""
    coarse = ndimage.zoom(rng.normal(size=(3, 3)), np.array(shape) / 3, order=3)
    return 1 + strength * coarse / max(np.abs(coarse).max(), 1e-9)
