"""How a canonical film came about, and the way back to the file's own pixels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np

from .field import Field
from .pose import Pose
from .resampling import resized, warped

# What had to be done to a film, by the number of its pose
POSE_NAMES = (
    "upright",
    "mirrored",
    "turned upside down and mirrored",
    "turned by 180 degrees",
    "mirrored about its diagonal",
    "turned clockwise",
    "turned counterclockwise",
    "mirrored about its other diagonal",
)


@dataclass(frozen=True)
class Record:
    """How a canonical film came about.

    Attributes:
        height, width: of the stored film in pixels.
        pose: what made it upright.
        rows, columns: of the upright film with square pixels.
        field: the part of that which was exposed, in its pixels; None is all of it.
        inverted: whether polarity was changed on top of what the file says.
        flags: what was decided by looking, or is for a person to decide.
        sources: where "values", "pose", "spacing" and "field" came from.
    """

    height: int
    width: int
    pose: Pose
    rows: int
    columns: int
    field: Field | None = None
    inverted: bool = False
    flags: tuple[str, ...] = ()
    sources: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the canonical film."""
        if self.field is None:
            return self.rows, self.columns
        if self.field.angle == 0:
            left, top, right, bottom = self._cut()
            return bottom - top, right - left
        return max(1, round(self.field.height)), max(1, round(self.field.width))

    def _cut(self) -> tuple[int, int, int, int]:
        """First column and row of an upright field, and those after the last."""
        x, y = round(self.field.x), round(self.field.y)
        right, bottom = round(self.field.x + self.field.width), round(self.field.y + self.field.height)
        left, top = min(max(x, 0), self.columns - 1), min(max(y, 0), self.rows - 1)
        return left, top, min(max(right, left + 1), self.columns), min(max(bottom, top + 1), self.rows)

    def to_stored(self) -> np.ndarray:
        """3 x 3 matrix from (x, y, 1) of the canonical film to those of the stored one; centres of pixels are whole."""
        upright = self.pose.to_stored(self.height, self.width)
        height, width = (self.width, self.height) if self.pose.transpose else (self.height, self.width)
        across, down = width / self.columns, height / self.rows
        square = np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]])
        return upright @ square @ self._from_field()

    def _from_field(self) -> np.ndarray:
        if self.field is None:
            return np.eye(3)
        if self.field.angle == 0:
            left, top, _, _ = self._cut()
            return np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], dtype=float)
        cosine, sine = cos(radians(self.field.angle)), sin(radians(self.field.angle))
        turn = np.array([[cosine, -sine, self.field.x], [sine, cosine, self.field.y], [0, 0, 1]])
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        return np.linalg.inv(half) @ turn @ half

    def apply(self, stored: np.ndarray, outside: float = 0.0) -> np.ndarray:
        """Bring H x W values in the file's pixel order, such as a mask, into the canonical film; float32.

        Args:
            outside: what stands where a turned field reaches out of the picture.
        """
        upright = resized(self.pose.upright(stored), self.rows, self.columns)
        if self.field is None:
            return upright
        if self.field.angle == 0:
            left, top, right, bottom = self._cut()
            return upright[top:bottom, left:right]
        return warped(upright, self._from_field(), self.shape, outside)

    def restore(self, canonical: np.ndarray) -> np.ndarray:
        """Bring H x W values of the canonical film, such as probabilities, into the file's own pixel order; float32.

        Outside the exposed field is 0.
        """
        upright = canonical
        if self.field is not None and self.field.angle == 0:
            left, top, right, bottom = self._cut()
            upright = np.zeros((self.rows, self.columns), dtype=np.float32)
            upright[top:bottom, left:right] = canonical
        elif self.field is not None:
            upright = warped(canonical, np.linalg.inv(self._from_field()), (self.rows, self.columns), 0.0)
        height, width = (self.width, self.height) if self.pose.transpose else (self.height, self.width)
        return self.pose.stored(resized(upright, height, width))

    def as_dict(self) -> dict[str, object]:
        """Plain numbers, truth values and texts, from which `of` makes the record again."""
        plain = {name: getattr(self, name) for name in ("height", "width", "rows", "columns", "inverted")}
        corners = self.field and [getattr(self.field, name) for name in ("x", "y", "width", "height", "angle")]
        return plain | {
            "pose": self.pose.number,
            "field": ",".join(map(repr, map(float, corners))) if corners else "",
            "flags": ";".join(self.flags),
            **{f"{name}_source": text for name, text in self.sources.items()},
        }

    def described(self) -> dict[str, str]:
        """Where "values", "pose", "spacing" and "field" came from and what they are, for people."""
        told = dict(self.sources)
        told["pose"] = f"{POSE_NAMES[self.pose.number]} ({told.get('pose', '')})"
        if self.field is not None:
            corners = " ".join(f"{x:.0f},{y:.0f}" for x, y in self.stored_corners())
            told["field"] = f"{told['field']}: {corners}"
        return told

    def stored_corners(self) -> np.ndarray:
        """4 x 2 corners (x, y) of the field in the file's own pixels, clockwise from the canonical upper left."""
        height, width = self.shape
        corners = np.array([(0, 0, 1), (width, 0, 1), (width, height, 1), (0, height, 1)]) - [0.5, 0.5, 0]
        return (corners @ self.to_stored().T)[:, :2] + 0.5

    @classmethod
    def of(cls, content: dict[str, object]) -> Record:
        """The record that `as_dict` gave."""
        plain = {name: content[name] for name in ("height", "width", "rows", "columns", "inverted")}
        place = Field(*map(float, content["field"].split(","))) if content["field"] else None
        flags = tuple(content["flags"].split(";")) if content["flags"] else ()
        sources = {name.removesuffix("_source"): text for name, text in content.items() if name.endswith("_source")}
        return cls(**plain, pose=Pose.numbered(content["pose"]), field=place, flags=flags, sources=sources)
