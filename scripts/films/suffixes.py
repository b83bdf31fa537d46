"""Which files are films, by their names and first bytes."""

from __future__ import annotations

import os
from pathlib import Path

RASTER_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
NIFTI_SUFFIXES = (".nii", ".nii.gz")
DICOM_SUFFIXES = (".dcm", ".dicom")
IMAGE_SUFFIXES = (*RASTER_SUFFIXES, *NIFTI_SUFFIXES, *DICOM_SUFFIXES)


def image_suffix(path: str | Path) -> str:
    """The supported suffix of `path` in lower case (".nii.gz" counts as one), or "" if it has none."""
    name = Path(path).name.lower()
    return next((suffix for suffix in sorted(IMAGE_SUFFIXES, key=len, reverse=True) if name.endswith(suffix)), "")


def image_format(path: str | Path) -> str:
    """`image_suffix` of `path`, and ".dcm" for a file of any other name whose content says that it is DICOM."""
    return image_suffix(path) or (DICOM_SUFFIXES[0] if has_preamble(path) else "")


def image_stem(path: str | Path) -> str:
    """File name of `path` without its supported suffix."""
    name = Path(path).name
    return name[: len(name) - len(image_suffix(path))]


def has_preamble(path: str | Path) -> bool:
    """Whether the file at `path` says by its first 132 bytes that it is DICOM; hospitals often use no suffix."""
    if not os.path.isfile(path):  # a pipe would wait for someone to write
        return False
    try:
        with Path(path).open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:  # a file that cannot be opened is no film by its content
        return False
