"""The canonical film: upright, square pixels, the exposed field; and the way back to the file's own pixels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from math import cos, radians, sin, sqrt

import numpy as np
from PIL import Image

from .exposed_field import Field, find_field
from .film import StoredFilm
from .limits import MAX_PIXELS
from .looking import Classifier, Look
from .pose import UPRIGHT, Pose

# What `canonical` may say of a film, for results and for a person
TURNED, INVERTED, HEART_ON_THE_RIGHT = "turned_by_content", "inverted_by_content", "heart_on_the_right"


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


def canonical(film: StoredFilm, classifier: Classifier | None = None) -> tuple[np.ndarray, Record]:
    """The canonical film of a stored one.

    The file's own words come first. Where it is silent, or contradicted beyond doubt, the classifier decides.

    Args:
        film: H x W.
        classifier: looks at polarity and pose; None believes the file, and takes what it does not say for usual.

    Returns:
        Height x width float32 in the film's own grays, and the record that leads back.
    """
    pose = film.pose or UPRIGHT
    values, record = framed(film, film.values, pose)
    if classifier is None:
        return values, record
    look = classifier.look(values)
    if look.upright:
        return values, record
    turn, inverted, flags = decided(film, look)
    sources = dict(record.sources)
    if turn != UPRIGHT:
        pose = pose.then(turn)
        sources["pose"] = f"content, {look.pose_confidence:.3f}"
    if inverted:
        sources["values"] = f"{film.values_source}, inverted by content, {look.polarity_confidence:.3f}"
    if turn != UPRIGHT or inverted:
        stored = film.values.max() + film.values.min() - film.values if inverted else film.values
        values, record = framed(film, stored, pose)
        record = replace(record, inverted=inverted, sources=record.sources | sources)
    return values, replace(record, flags=flags)


def decided(film: StoredFilm, look: Look) -> tuple[Pose, bool, tuple[str, ...]]:
    """What to do about a film that does not look upright: a further pose, an inversion, and flags.

    A mirrored heart alone never turns a film whose file says where right is.
    """
    flags: list[str] = []
    inverted = look.inverted and look.sure_of_polarity(film.polarity_known)
    if inverted:
        flags.append(INVERTED)
    turn = look.pose
    if turn != UPRIGHT and not look.sure_of_pose(film.pose is not None):
        turn = UPRIGHT
    if turn == Pose(flip_columns=True) and film.pose is not None:
        flags.append(HEART_ON_THE_RIGHT)
        turn = UPRIGHT
    if turn != UPRIGHT:
        flags.append(TURNED)
    return turn, inverted, tuple(flags)


def framed(film: StoredFilm, stored: np.ndarray, pose: Pose) -> tuple[np.ndarray, Record]:
    """`stored` in `pose`, with square pixels, and its exposed field."""
    height, width = stored.shape
    rows, columns = square_shape(*(stored.shape[::-1] if pose.transpose else stored.shape),
                                 1 / film.aspect if pose.transpose else film.aspect)  # fmt: skip
    sources = {
        "values": film.values_source,
        "pose": film.pose_source or "not stated",
        "spacing": film.spacing_source or film.aspect_source or "not stated",
        "field": "whole",
    }
    record = Record(height, width, pose, rows, columns, sources=sources)
    values = record.apply(stored)
    place, source = None, ""
    if film.collimation is not None:
        place = stated_field(record, film.collimation)
        source = film.collimation_source if place else ""
    else:
        place = find_field(values)
        source = "surround" if place else ""
    if place is None:
        return np.ascontiguousarray(values, dtype=np.float32), record
    record = replace(record, field=place, sources=sources | {"field": source})
    return np.ascontiguousarray(record.apply(stored, float(values.min())), dtype=np.float32), record


def stated_field(record: Record, corners: np.ndarray) -> Field | None:
    """The field with these 4 x 2 corners of the stored film, or None where it is all of the film."""
    back = np.linalg.inv(record.to_stored())
    upright = np.column_stack([corners - 0.5, np.ones(len(corners))]) @ back.T
    place = Field.of_corners(upright[:, :2] + 0.5)
    whole = abs(place.width - record.columns) < 2 and abs(place.height - record.rows) < 2
    return None if whole and abs(place.angle) < 1 else place


def square_shape(height: int, width: int, aspect: float) -> tuple[int, int]:
    """Height and width of an image with square pixels, whose pixels are `aspect` times as high as wide.

    The coarser direction gets more pixels, as far as `MAX_PIXELS` allows.
    """
    if aspect == 1:
        return height, width
    high, wide = (height * aspect, width) if aspect > 1 else (height, width / aspect)
    shrink = min(1.0, sqrt(MAX_PIXELS / (high * wide)))
    return max(1, round(high * shrink)), max(1, round(wide * shrink))


def resized(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """H x W values at another size: bilinear, with antialiasing where they shrink."""
    if values.shape == (height, width):
        return values
    picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


def warped(values: np.ndarray, matrix: np.ndarray, shape: tuple[int, int], outside: float) -> np.ndarray:
    """H x W values sampled bilinearly at `matrix` @ (x, y, 1) of each pixel of an image of `shape`."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    edges = half @ matrix @ np.linalg.inv(half)  # Pillow counts from the corner of a pixel
    picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(
        picture.transform(
            shape[::-1], Image.Transform.AFFINE, tuple(edges[:2].ravel()), Image.Resampling.BILINEAR, fillcolor=outside
        )
    )
