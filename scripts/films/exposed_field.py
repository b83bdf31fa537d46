"""The exposed field of a film: what lies within a black, white or gray surround, upright or slightly turned."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, cos, degrees, radians, sin

import numpy as np
from scipy import ndimage

SIDE = 128  # longest side in pixels of the picture that is looked at
TOLERANCE = 0.07  # how far a surround's grays lie apart, of the picture's range
SMALLEST = 16  # sides in pixels below which nothing is looked for
NOISE = 0.02  # of the picture's range: from where on noise of a surround would tear it to pieces
RING = 0.12  # share of the outermost pixels that are alike, below which there is no surround
FLAT_RING = 0.2  # the same, of two in sixteen grays, below which none is looked for
INNER_RING = 0.85  # the same, of a surround within another: tissue of one gray has less
MOST_TURNED, STEP = 16.0, 0.5  # degrees
THINNEST = 0.02  # of the picture's side: a thinner surround does no harm
STRAIGHT = 0.36  # share of a side of the field that must be a straight edge
# The same, of a turned field that has one edge alone, and the share of the picture that its surround then must have:
# arms beside the chest are straight, too
ONE_EDGE, ONE_SURROUND = 0.55, 0.2
ENCLOSED = 0.7  # share of the outermost pixels that are surround: then round fields have sides, too
SHARP = 0.15  # of the picture's range: how much it changes at an edge that is not straight
CLEAN = 0.93  # share of what is cut off at a side that must be surround
SPECK = 0.004  # of the picture: smaller islands in a surround are letters and markers
LEAST = 0.15  # of the picture's area that a field has
BAND = 0.75  # of pixels, two of which an edge takes up
BLUR = 2  # pixels
LAYERS = 3  # a film with a black border on a light box has two surrounds


@dataclass(frozen=True)
class Field:
    """A rectangle of the picture in pixels, whose outer edges are at 0 and at width or height.

    Attributes:
        x, y: its upper left corner.
        width, height: its sides.
        angle: by how many degrees it is turned clockwise about that corner.
    """

    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0

    @classmethod
    def of_corners(cls, corners: np.ndarray) -> Field:
        """The field with the 4 x 2 corners (x, y) in any order around it; upright where it is nearly so."""
        ordered = corners[np.argsort(np.arctan2(*(corners - corners.mean(axis=0)).T[::-1]))]  # clockwise on a picture
        start = int(np.argmin(ordered.sum(axis=1)))
        a, b, _, d = np.roll(ordered, -start, axis=0)
        angle = degrees(atan2(b[1] - a[1], b[0] - a[0]))
        if abs(angle) < STEP / 2:
            low, high = corners.min(axis=0), corners.max(axis=0)
            return cls(*map(float, (*low, *(high - low))))
        return cls(float(a[0]), float(a[1]), float(np.hypot(*(b - a))), float(np.hypot(*(d - a))), angle)

    @property
    def corners(self) -> np.ndarray:
        """4 x 2 corners (x, y), clockwise from the upper left one."""
        across = np.array([cos(radians(self.angle)), sin(radians(self.angle))])
        down = np.array([-across[1], across[0]])
        origin = np.array([self.x, self.y])
        return np.array([origin, origin + across * self.width, origin + across * self.width + down * self.height,
                         origin + down * self.height])  # fmt: skip

    def scaled(self, x: float, y: float) -> Field:
        """The field of a picture that is `x` times as wide and `y` times as high."""
        if self.angle == 0:
            return Field(self.x * x, self.y * y, self.width * x, self.height * y)
        return Field.of_corners(self.corners * [x, y])

    def inside(self, outer: Field) -> Field:
        """This field, given in the pixels of `outer`, in the pixels of the picture that `outer` lies in."""
        cosine, sine = cos(radians(outer.angle)), sin(radians(outer.angle))
        x = outer.x + self.x * cosine - self.y * sine
        y = outer.y + self.x * sine + self.y * cosine
        return Field(x, y, self.width, self.height, self.angle + outer.angle)


def find_field(picture: np.ndarray) -> Field | None:
    """The exposed field of an upright H x W picture, or None where there is no surround around it.

    Straight edges between a surround and a film are looked for at every angle, on each side of its own; only what is
    surround is cut off.
    """
    height, width = picture.shape
    small = thumbnail(picture, SIDE)
    if min(small.shape) < SMALLEST or not has_flat_ring(small):
        return None
    low, high = np.percentile(small, (1, 99))
    small = ((small - low) / max(high - low, 1e-6)).clip(0, 1)
    smooth = ndimage.uniform_filter(small, 3).clip(0, 1)  # running sums end a hair below 0, which no histogram counts
    if np.mean(outermost(np.abs(small - smooth))) > NOISE:
        small = smooth
    found = whole = Field(0, 0, small.shape[1], small.shape[0])
    view = small
    for layer in range(LAYERS):
        inner = field_of_layer(view, inner=layer > 0)
        if inner is None or inner.width * inner.height < LEAST * small.size:
            break
        found = inner.inside(found)
        # Edges are blurred, which would hide the next surround
        view = sampled(small, Field(BLUR, BLUR, found.width - 2 * BLUR, found.height - 2 * BLUR).inside(found))
        if min(view.shape) < SMALLEST or not has_flat_ring(view):
            break
    if found is whole:
        return None
    return found.scaled(width / small.shape[1], height / small.shape[0])


def thumbnail(picture: np.ndarray, side: int) -> np.ndarray:
    """An H x W picture at about `side` pixels, from means of 2 x 2 samples, so that noise counts for less."""
    step = max(1, round(max(picture.shape) / side / 2))
    samples = picture[::step, ::step]
    if max(samples.shape) < 1.5 * side:
        return samples
    rows, columns = (length // 2 * 2 for length in samples.shape)
    samples = samples[:rows, :columns]
    return (samples[::2, ::2] + samples[1::2, ::2] + samples[::2, 1::2] + samples[1::2, 1::2]) / 4


def has_flat_ring(picture: np.ndarray) -> bool:
    """Whether enough of the outermost pixels of a picture are about as bright, on unevenly lit ground, too."""
    ring = outermost(picture)
    low, high = picture.min(), picture.max()
    counts = np.histogram(ring, 16, (low, high if high > low else low + 1))[0]
    return bool((counts[:-1] + counts[1:]).max() >= FLAT_RING * len(ring))


def outermost(picture: np.ndarray) -> np.ndarray:
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def field_of_layer(picture: np.ndarray, inner: bool) -> Field | None:
    """The field within the surround of one gray, or of two, of an H x W picture in [0, 1].

    Args:
        inner: the picture is what another surround enclosed. Then one gray must be nearly all around, and edges be
            straight.
    """
    best, most = None, 0.0
    surrounds = [surround_of(picture, level) for level in levels(picture)]
    if len(surrounds) == 2 and not inner:
        surrounds.append(surrounds[0] | surrounds[1])
    for surround in surrounds:
        if outermost(surround).mean() < (INNER_RING if inner else RING):
            continue
        field = fitted(picture, ~surround, round_too=not inner)
        if field is None:
            continue
        cut = surround.size - field.width * field.height
        if cut > most:
            best, most = field, cut
    return best


def levels(picture: np.ndarray) -> list[float]:
    """Grays that a good share of the outermost pixels have, at most two."""
    counts, edges = np.histogram(outermost(picture), 16, (0, 1))
    share = counts / counts.sum()
    order = [bin_ for bin_ in np.argsort(-share) if share[bin_] >= RING / 2]
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


def fitted(picture: np.ndarray, film: np.ndarray, round_too: bool = True) -> Field | None:
    """The rectangle whose sides are straight edges of an H x W boolean `film` in a picture, or None where it has none.

    A film that surround encloses may also be round (`round_too`): there sharp edges do.
    """
    if not film.any() or film.all():
        return None
    height, width = film.shape
    ring = outermost(film)
    enclosed = round_too and ring.mean() <= 1 - ENCLOSED
    sides = extremes(film)
    angles = np.arange(-MOST_TURNED, MOST_TURNED + STEP, STEP)
    places, supports = zip(*(straight_edges(points, sign, axis, angles) for points, sign, axis in sides))
    supports = np.array(supports)  # 4 x angles: pixels on the straightest edge of each side
    if not enclosed and (supports.max(axis=1) < STRAIGHT * np.array([height, height, width, width])).all():
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
    limits = []
    for number, (coordinate, other) in enumerate(((across, height), (across, height), (down, width), (down, width))):
        outer = float(coordinate.min() if number % 2 == 0 else coordinate.max())
        edge = float(places[number][best])
        straight = supports[number][best] >= STRAIGHT * other
        limits.append(edge if straight else outer)
    left, right, top, bottom = limits
    # Upright, a side without an edge ends with the picture
    if best == upright:
        outer = (0, width - 1, 0, height - 1)
        lengths = (height, height, width, width)
        left, right, top, bottom = (
            (
                limit
                if (supports[n][best] >= STRAIGHT * lengths[n] or (enclosed and sharpness(picture, *sides[n]) >= SHARP))
                and is_clean(film, n, limit)
                else outer[n]
            )
            for n, limit in enumerate(limits)
        )
        depth = max(left / width, 1 - (right + 1) / width, top / height, 1 - (bottom + 1) / height)
        if depth < THINNEST:
            return None
        return Field(left, top, right - left + 1, bottom - top + 1)
    shares = supports[:, best] / np.array([height, height, width, width])
    lonely = shares.max() >= ONE_EDGE and film.mean() <= 1 - ONE_SURROUND
    if (shares >= STRAIGHT).sum() < 2 and not lonely:
        return None
    lost = ((across < left - 1.5) | (across > right + 1.5) | (down < top - 1.5) | (down > bottom + 1.5)).mean()
    if lost > 1 - CLEAN:
        return None
    corner = (left - 0.5) * np.array([cosine, sine]) + (top - 0.5) * np.array([-sine, cosine]) + 0.5
    return Field(float(corner[0]), float(corner[1]), right - left + 1, bottom - top + 1, float(angle))


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


def sampled(picture: np.ndarray, field: Field) -> np.ndarray:
    """The part of an H x W picture in `field`, upright, at about one sample a pixel; beyond the picture its edge."""
    height, width = max(1, round(field.height)), max(1, round(field.width))
    cosine, sine = cos(radians(field.angle)), sin(radians(field.angle))
    x = (np.arange(width) + 0.5) * field.width / width
    y = (np.arange(height) + 0.5)[:, None] * field.height / height
    across, down = field.x + x * cosine - y * sine, field.y + x * sine + y * cosine
    rows = np.floor(down).astype(int).clip(0, picture.shape[0] - 1)
    columns = np.floor(across).astype(int).clip(0, picture.shape[1] - 1)
    return picture[rows, columns]
