"""The canonical film: upright, square pixels, the exposed field."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np

from .exposed_field import find_field
from .field import Field
from .film import StoredFilm
from .limits import MAX_PIXELS
from .looking import Classifier, Look
from .pose import UPRIGHT, Pose
from .record import Record

# What `canonical` may say of a film, for results and for a person
TURNED, INVERTED, HEART_ON_THE_RIGHT = "turned_by_content", "inverted_by_content", "heart_on_the_right"


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
    sources = {}
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
