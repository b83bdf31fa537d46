"""The exposed field as a DICOM header states it: collimators and shutters (PS3.3, C.8.7.3 and C.7.6.11)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

LEAST = 0.1  # share of the picture that a field must have to be believed


def collimation(dataset: Mapping) -> tuple[np.ndarray, str] | None:
    """4 x 2 corners (x, y) in pixels of what the file says was exposed or shall be shown, and the attribute.

    Several shapes count together, by the upright rectangle around each; one polygon of four corners may be turned.
    What does not fit the picture, as where it was scaled after the header was written, is not believed.

    Returns:
        None where the file says nothing, or no field of its own.
    """
    height, width = int(dataset.Rows), int(dataset.Columns)
    for name in ("Shutter", "Collimator"):
        shapes = [shape for shape in (_corners(dataset, name, kind) for kind in _kinds(dataset, name)) if len(shape)]
        if not shapes or not all(_within(shape, height, width) for shape in shapes):
            continue
        if len(shapes) == 1 and len(shapes[0]) == 4:
            corners = shapes[0]
        else:
            low = np.max([shape.min(axis=0) for shape in shapes], axis=0)
            high = np.min([shape.max(axis=0) for shape in shapes], axis=0)
            corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
        corners = corners.clip([0, 0], [width, height])
        sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
        if sides[:2].prod() >= LEAST * height * width:
            return corners, f"{name}Shape"
    return None


def _kinds(dataset: Mapping, name: str) -> list[str]:
    kinds = dataset.get(f"{name}Shape") or []
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _corners(dataset: Mapping, name: str, kind: str) -> np.ndarray:
    """N x 2 (x, y) of one shape; pixels are counted from 1, edges belong to the field. Empty where it is not whole."""
    try:
        if kind == "RECTANGULAR":
            left, right = (float(dataset[f"{name}{side}VerticalEdge"].value) for side in ("Left", "Right"))
            top, bottom = (float(dataset[f"{name}{side}HorizontalEdge"].value) for side in ("Upper", "Lower"))
            left, right = sorted((left, right))
            top, bottom = sorted((top, bottom))
            return np.array([(left - 1, top - 1), (right, top - 1), (right, bottom), (left - 1, bottom)])
        if kind == "CIRCULAR":
            row, column = (float(value) - 0.5 for value in dataset[f"CenterOfCircular{name}"].value)
            radius = float(dataset[f"RadiusOfCircular{name}"].value)
            return np.array([(column + a * radius, row + b * radius) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
        if kind == "POLYGONAL":
            vertices = np.array(dataset[f"VerticesOfThePolygonal{name}"].value, float).reshape(-1, 2)[:, ::-1] - 0.5
            return vertices[:-1] if len(vertices) > 3 and (vertices[0] == vertices[-1]).all() else vertices
    except (KeyError, TypeError, ValueError):  # not all of its numbers are there
        pass
    return np.zeros((0, 2))


def _within(corners: np.ndarray, height: int, width: int) -> bool:
    """Whether the shape lies in the picture, with two pixels to spare for other ways of counting.

    A circle may reach beyond: its rectangle is what is exposed of it.
    """
    centre = corners.mean(axis=0)
    reach = np.abs(corners - [width / 2, height / 2]).max(axis=0)
    fits = (reach <= [width / 2 + 2, height / 2 + 2]).all()
    return bool(fits or (len(corners) == 4 and np.allclose(centre, [width / 2, height / 2], rtol=0.2)))
