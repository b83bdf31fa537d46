"""A rectangle of a picture, upright or slightly turned."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, cos, degrees, radians, sin

import numpy as np

UPRIGHT_BELOW = 0.25  # degrees: a smaller turn is none


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
        if abs(angle) < UPRIGHT_BELOW:
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
