"""Films in NIfTI files: one slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import BundleError
from .film import StoredFilm
from .limits import check_pixels
from .pose import pose_of_affine
from .spacing import believable


def read_nifti(path: str | Path) -> StoredFilm:
    """The film at `path`: columns are its first axis, rows its second; axes of one voxel do not count."""
    import nibabel

    image = nibabel.load(path)
    check_pixels(path, *image.shape)
    columns, rows = picture_axes(image.shape)
    others = tuple(axis for axis in range(len(image.shape)) if axis not in (columns, rows))
    if any(image.shape[axis] != 1 for axis in others):
        sides = " x ".join(map(str, image.shape))
        raise BundleError(f"{path}: expected one 2D image of one channel, got {sides} values")
    values = np.asanyarray(image.dataobj)
    if values.dtype.kind not in "biuf":
        raise BundleError(f"{path}: holds values of the type {values.dtype}, expected one gray channel")
    values = np.squeeze(values, axis=others).T.astype(np.float32)
    spacing = pose = affine = None
    if max(columns, rows) < 3:
        column, row = (float(image.header.get_zooms()[axis]) for axis in (columns, rows))
        spacing = (row, column) if row > 0 and column > 0 else None
        affine = image.affine[:, [columns, rows, 3 - columns - rows, 3]]
        if placed(image):
            pose = pose_of_affine(affine)
    aspect, aspect_source = believable(spacing[0] / spacing[1], "pixdim") if spacing else (1.0, "")
    return StoredFilm(
        values=np.ascontiguousarray(values),
        pose=pose,
        pose_source="affine" if pose else "",
        spacing=spacing,
        spacing_source="pixdim" if spacing else "",
        aspect=aspect,
        aspect_source=aspect_source,
        affine=affine,
    )


def picture_axes(shape: tuple[int, ...]) -> tuple[int, int]:
    """Which two axes of a volume are the columns and rows of its picture: the first ones of more than one voxel."""
    axes = [axis for axis, length in enumerate(shape) if length > 1]
    if len(axes) < 2:  # a picture of one line
        axes = [0, 1] if len(shape) > 1 else [0, 0]
    return axes[0], axes[1]


def placed(image) -> bool:
    """Whether the header has an affine of its own: a code says so, and the affine is a turn and a scaling.

    The identity is what a writer puts there that knows nothing of the film.
    """
    header = image.header
    if np.array_equal(image.affine, np.eye(4)):
        return False
    if "sform_code" in header and not (int(header["sform_code"]) or int(header["qform_code"])):
        return False
    return bool(np.isfinite(image.affine).all() and abs(np.linalg.det(image.affine[:3, :3])) > 0)
