"""A film of any supported format."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import BundleError
from .dicom import read_header, read_radiograph
from .film import StoredFilm
from .limits import check_pixels
from .nifti import picture_axes, read_nifti
from .raster import RASTER_FORMATS, read_raster, stored_size
from .suffixes import DICOM_SUFFIXES, IMAGE_SUFFIXES, NIFTI_SUFFIXES, has_preamble, image_format


def read_film(path: str | Path) -> StoredFilm:
    """Read a film: PNG, JPEG, BMP and TIFF (8 and 16 bit, gray or colour), NIfTI of one slice, and DICOM.

    Raises:
        BundleError: the file is missing, of unknown suffix, damaged, larger than `limits.MAX_PIXELS`, not one gray 2D
            image, or holds NaN or infinite values; names the file.
    """
    suffix = checked_format(path)
    with readable(path):
        if suffix in DICOM_SUFFIXES:
            film = read_radiograph(path)
        elif suffix in NIFTI_SUFFIXES:
            film = read_nifti(path)
        else:
            film = read_raster(path)
    if film.values.ndim != 2:
        raise BundleError(
            f"{path}: expected one 2D image of one channel, got {' x '.join(map(str, film.values.shape))} values"
        )
    if not np.isfinite(film.values).all():
        raise BundleError(f"{path}: holds NaN or infinite values")
    return film


def checked_format(path: str | Path) -> str:
    """`image_format` of a file that exists and has one, else `BundleError`."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise BundleError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # no permission, a loop of links, a name that no file can have
        raise BundleError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not stat.S_ISREG(mode):
        raise BundleError(f"{path}: no such file, but a folder or device")
    suffix = image_format(path)
    if not suffix:
        raise BundleError(f"{path}: unknown image suffix; supported: {', '.join(IMAGE_SUFFIXES)}")
    return suffix


def read_size(path: str | Path) -> tuple[int, int]:
    """Width and height in pixels, as they are stored, from the file's header, without decoding the pixels.

    Raises:
        BundleError: the file is missing, has no supported suffix, its header cannot be read, or it is larger than
            `limits.MAX_PIXELS`.
    """
    suffix = checked_format(path)
    with readable(path):
        if suffix in NIFTI_SUFFIXES:
            import nibabel

            shape = nibabel.load(path).shape
            size = tuple(
                shape[axis] if len(shape) > 1 else (*shape, 1)[n] for n, axis in enumerate(picture_axes(shape))
            )
        elif suffix in DICOM_SUFFIXES:
            header = read_header(path)
            size = (int(header.Columns), int(header.Rows))
        else:
            with Image.open(path, formats=RASTER_FORMATS) as image:
                size = stored_size(image)
    check_pixels(path, *size)
    return size


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """Turn whatever a reader raises on a damaged file into a `BundleError` that names `path`."""
    try:
        yield
    except BundleError:
        raise
    except Image.DecompressionBombError as error:  # before width and height can be asked for
        check_pixels(path, int(re.search(r"\d+", str(error))[0]))
        raise
    except UnidentifiedImageError as error:
        hint = "; it is DICOM, call it .dcm" if has_preamble(path) else ""
        raise BundleError(f"{path}: cannot be read as an image (no PNG, JPEG, BMP or TIFF{hint})") from error
    except Exception as error:  # every reader has its own family of errors for a damaged file
        raise BundleError(f"{path}: cannot be read as an image ({first_line(error)})") from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message, with the next if it leads over to it; or the error's class name."""
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
