"""The eight poses in which a film may be stored, and what DICOM, EXIF and NIfTI say of them.

Upright is as a radiologist hangs a frontal film: columns run to the patient's left, rows to the feet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEFT_RIGHT, HEAD_FEET = ("L", "R"), ("H", "F")


@dataclass(frozen=True)
class Pose:
    """What makes a stored film upright: first transpose, then flip.

    Attributes:
        transpose: rows become columns.
        flip_rows: upside down, after the transposition.
        flip_columns: left and right change sides, after the transposition.
    """

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @classmethod
    def numbered(cls, number: int) -> Pose:
        """The pose of `number` 0 to 7; 0 is upright."""
        return cls(bool(number & 4), bool(number & 2), bool(number & 1))

    @property
    def number(self) -> int:
        return 4 * self.transpose + 2 * self.flip_rows + self.flip_columns

    @property
    def mirrors(self) -> bool:
        """Whether a mirror is needed, rather than a turn."""
        return self.transpose ^ self.flip_rows ^ self.flip_columns

    def upright(self, stored: np.ndarray) -> np.ndarray:
        """A view of `... x H x W` values, upright."""
        turned = stored.swapaxes(-1, -2) if self.transpose else stored
        return turned[..., :: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def stored(self, upright: np.ndarray) -> np.ndarray:
        """Undo `upright`."""
        turned = upright[..., :: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
        return turned.swapaxes(-1, -2) if self.transpose else turned

    def then(self, other: Pose) -> Pose:
        """The pose that does this, then `other`."""
        flips = (self.flip_rows, self.flip_columns)
        if other.transpose:  # flips before a transposition are the other ones after it
            flips = flips[::-1]
        return Pose(self.transpose ^ other.transpose, flips[0] ^ other.flip_rows, flips[1] ^ other.flip_columns)

    def to_stored(self, height: int, width: int) -> np.ndarray:
        """3 x 3 matrix from (x, y, 1) of the upright film to (x, y, 1) of the stored one of `height` x `width` pixels.

        Whole numbers are the centres of pixels.
        """
        rows, columns = (width, height) if self.transpose else (height, width)
        flip = np.array(
            [
                [-1 if self.flip_columns else 1, 0, columns - 1 if self.flip_columns else 0],
                [0, -1 if self.flip_rows else 1, rows - 1 if self.flip_rows else 0],
                [0, 0, 1],
            ],
            dtype=float,
        )
        return flip[[1, 0, 2]] if self.transpose else flip


UPRIGHT = Pose()
# EXIF 2.32, 4.6.4 A, and TIFF 6.0: what Orientation 1 to 8 asks of a viewer
EXIF_POSES = dict(enumerate((0, 1, 3, 2, 4, 5, 7, 6), start=1))


def pose_of_exif(orientation: object) -> Pose | None:
    """The pose that an EXIF Orientation asks for, or None where it is no number from 1 to 8."""
    return Pose.numbered(EXIF_POSES[orientation]) if orientation in EXIF_POSES else None


def pose_of_directions(columns: str, rows: str) -> Pose | None:
    """The pose of a film whose columns and rows run to these sides of the patient: R, L, H or F.

    Args:
        columns: where the number of the column grows.
        rows: where the number of the row grows.

    Returns:
        None where they do not name one side across and one along the patient.
    """
    if columns in LEFT_RIGHT and rows in HEAD_FEET:
        return Pose(False, flip_rows=rows == "H", flip_columns=columns == "R")
    if columns in HEAD_FEET and rows in LEFT_RIGHT:
        return Pose(True, flip_rows=columns == "H", flip_columns=rows == "R")
    return None


def pose_of_affine(affine: np.ndarray) -> Pose | None:
    """The pose of a film from the affine (NIfTI, RAS+) of its first two axes, columns and rows.

    The picture lies across the patient along x; the other axis counts to the head, whether it is called y, as
    converters of films without a place in the patient write it, or z.

    Args:
        affine: 3 x 2 or larger; columns are the directions of the picture's columns and rows in mm.

    Returns:
        None where neither or both axes run across the patient.
    """
    across, down = (int(np.argmax(np.abs(affine[:3, axis]))) for axis in (0, 1))
    names = [
        ("R" if affine[side, axis] > 0 else "L") if side == 0 else ("H" if affine[side, axis] > 0 else "F")
        for axis, side in ((0, across), (1, down))
    ]
    return pose_of_directions(*names)
