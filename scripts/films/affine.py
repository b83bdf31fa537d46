"""Where the pixels of a film lie in the patient, as far as a projection lies anywhere."""

from __future__ import annotations

import numpy as np

from .pose import UPRIGHT, Pose

# From (row, column, 0, 1), as an H x W array counts, to (column, row, 0, 1)
ROWS_FIRST = np.eye(4)[[1, 0, 2, 3]]


def film_affine(
    spacing: tuple[float, float] | None, pose: Pose | None = None, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Affine of a W x H film whose place in the patient is unknown: x to the left, y to the feet, once it is upright.

    Args:
        spacing: (row, column) in mm; None makes a pixel the unit.
        pose: what makes the film upright; None takes it for upright.
        shape: height and width of the stored film; needed with a pose.
    """
    row, column = spacing or (1.0, 1.0)
    pose = pose or UPRIGHT
    if pose.transpose:
        row, column = column, row
    affine = np.diag([-column, -row, 1.0, 1.0])  # NIfTI and MONAI count to the right and to the head
    return affine if pose == UPRIGHT else affine @ planar(np.linalg.inv(pose.to_stored(*shape)))


def planar(matrix: np.ndarray) -> np.ndarray:
    """A 3 x 3 matrix of (x, y, 1) as a 4 x 4 one of (x, y, z, 1)."""
    full = np.eye(4)
    full[np.ix_((0, 1, 3), (0, 1, 3))] = matrix
    return full
