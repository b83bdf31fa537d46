"""The rectangle whose sides are straight edges between a film and what surrounds it."""

from __future__ import annotations

from math import cos, radians, sin

import numpy as np

from .field import Field
from .surround import outermost

MOST_TURNED, STEP = 16.0, 0.5  # degrees
THINNEST = 0.02  # of the picture's side: a thinner surround does no harm
STRAIGHT = 0.36  # share of a side of the field that must be a straight edge
# The same, of a turned field that has one edge alone, and the share of the picture that its surround then must have:
# arms beside the chest are straight, too
ONE_EDGE, ONE_SURROUND = 0.55, 0.15
ENCLOSED = 0.7  # share of the outermost pixels that are surround: then round fields have sides, too
MOST_LOST = 0.25  # share of what is no surround that may lie beyond three straight edges: a light box's dark corner
SHARP = 0.15  # of the picture's range: how much it changes at an edge that is not straight
CLEAN = 0.93  # share of what is cut off at a side that must be surround
BAND = 0.75  # of pixels, two of which an edge takes up


def fitted(picture: np.ndarray, film: np.ndarray, round_too: bool = True) -> Field | None:
    """The rectangle whose sides are straight edges of an H x W boolean `film` in a picture, or None where it has none.

    A film that surround encloses may also be round (`round_too`): there sharp edges do.
    """
    if not film.any() or film.all():
        return None
    ring = outermost(film)
    enclosed = round_too and ring.mean() <= 1 - ENCLOSED
    sides = extremes(film)
    angles = np.arange(-MOST_TURNED, MOST_TURNED + STEP, STEP)
    places, supports = zip(*(straight_edges(points, sign, axis, angles) for points, sign, axis in sides))
    supports = np.array(supports)  # 4 x angles: pixels on the straightest edge of each side
    rows, columns = int(film.any(axis=1).sum()), int(film.any(axis=0).sum())
    lengths = np.array([rows, rows, columns, columns])
    if not enclosed and (supports.max(axis=1) < STRAIGHT * lengths).all():
        return None
    total = supports.sum(axis=0)
    upright = len(angles) // 2
    best = int(np.argmax(total))
    if total[best] < 1.15 * total[upright] + 4:
        best = upright
    angle = angles[best]
    cosine, sine = cos(radians(angle)), sin(radians(angle))
    ys, xs = np.nonzero(film)
    across, down = xs * cosine + ys * sine, ys * cosine - xs * sine
    straight = supports[:, best] >= STRAIGHT * lengths
    ends = (across.min(), across.max(), down.min(), down.max())
    limits = [float(places[n][best] if straight[n] else end) for n, end in enumerate(ends)]
    if best == upright:
        found = [straight[n] or (enclosed and sharpness(picture, *sides[n]) >= SHARP) for n in range(4)]
        return upright_field(film, limits, found)
    lonely = (supports[:, best] / lengths).max() >= ONE_EDGE and film.mean() <= 1 - ONE_SURROUND
    if straight.sum() < 2 and not lonely:
        return None
    left, right, top, bottom = limits
    lost = ((across < left - 1.5) | (across > right + 1.5) | (down < top - 1.5) | (down > bottom + 1.5)).mean()
    if lost > (1 - CLEAN if straight.sum() < 3 else MOST_LOST):
        return None
    corner = (left - 0.5) * np.array([cosine, sine]) + (top - 0.5) * np.array([-sine, cosine]) + 0.5
    return Field(float(corner[0]), float(corner[1]), right - left + 1, bottom - top + 1, float(angle))


def upright_field(film: np.ndarray, limits: list[float], found: list[bool]) -> Field | None:
    """The upright field of an H x W boolean film, or None where it is nearly all of the picture.

    Args:
        film: what is no surround.
        limits: where its left, right, upper and lower edge lie.
        found: which of them are edges; on the other sides the field ends with the picture.
    """
    height, width = film.shape
    outer = (0, width - 1, 0, height - 1)
    left, right, top, bottom = (
        limit if found[n] and is_clean(film, n, limit) else outer[n] for n, limit in enumerate(limits)
    )
    depth = max(left / width, 1 - (right + 1) / width, top / height, 1 - (bottom + 1) / height)
    return None if depth < THINNEST else Field(left, top, right - left + 1, bottom - top + 1)


def sharpness(picture: np.ndarray, points: np.ndarray, sign: int, axis: int) -> float:
    """By how much an H x W picture in [0, 1] changes at the outermost pixels of its film on one side: the median."""
    if len(points) == 0:
        return 0.0
    step = np.zeros(2, dtype=int)
    step[axis] = 2 * sign
    most = np.array(picture.shape[::-1]) - 1
    inside, outside = ((points + way * step).clip(0, most) for way in (-1, 1))
    return float(np.median(np.abs(picture[inside[:, 1], inside[:, 0]] - picture[outside[:, 1], outside[:, 0]])))


def is_clean(film: np.ndarray, side: int, limit: float) -> bool:
    """Whether what lies beyond `limit` at a side (left, right, top, bottom) of an upright film is surround."""
    line = int(round(limit))
    strip = (film[:, :line], film[:, line + 1 :], film[:line], film[line + 1 :])[side]
    return strip.size == 0 or strip.mean() <= 1 - CLEAN


def extremes(film: np.ndarray) -> list[tuple[np.ndarray, int, int]]:
    """For each side the film's outermost pixels (N x 2, x and y) that do not lie at the picture's edge, and which
    way is out: (points, sign, axis)."""
    height, width = film.shape
    rows, columns = np.flatnonzero(film.any(axis=1)), np.flatnonzero(film.any(axis=0))
    first, last = film.argmax(axis=1)[rows], width - 1 - film[:, ::-1].argmax(axis=1)[rows]
    top, bottom = film.argmax(axis=0)[columns], height - 1 - film[::-1].argmax(axis=0)[columns]
    found = []
    for points, sign, axis, edge in (
        (np.column_stack([first, rows]), -1, 0, 0),
        (np.column_stack([last, rows]), 1, 0, width - 1),
        (np.column_stack([columns, top]), -1, 1, 0),
        (np.column_stack([columns, bottom]), 1, 1, height - 1),
    ):
        found.append((points[points[:, axis] != edge], sign, axis))
    return found


def straight_edges(points: np.ndarray, sign: int, axis: int, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each angle where most of `points` lie on one line along a side, and how many do.

    Args:
        points: N x 2.
        sign: -1 for the left or upper side, 1 for the others.
        axis: 0 for the left and right side.
        angles: in degrees.
    """
    if len(points) == 0:
        return np.zeros(len(angles)), np.zeros(len(angles), dtype=int)
    turns = np.radians(angles)[:, None]
    x, y = points.T.astype(float)
    place = x * np.cos(turns) + y * np.sin(turns) if axis == 0 else y * np.cos(turns) - x * np.sin(turns)
    bins = np.floor((place - place.min()) / BAND).astype(int)
    count = bins.max() + 2  # one more, so that every bin has a next one
    rows = np.arange(len(angles))
    totals = np.bincount((bins + count * rows[:, None]).ravel(), minlength=count * len(angles)).reshape(-1, count)
    pairs = totals[:, :-1] + totals[:, 1:]
    best = pairs.argmax(axis=1)
    line = place.min() + BAND * (best + (0 if sign < 0 else 2))
    return line, pairs[rows, best]
