"""Reading a radiograph or mask of any supported format as one upright gray channel."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, NibabelReader, PILReader
from monai.transforms import MapTransform
from PIL import Image, UnidentifiedImageError

from ..errors import BundleError
from .dicom import has_preamble, read_header, read_radiograph
from .limits import check_pixels

RASTER_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
NIFTI_SUFFIXES = (".nii", ".nii.gz")
DICOM_SUFFIXES = (".dcm", ".dicom")
IMAGE_SUFFIXES = (*RASTER_SUFFIXES, *NIFTI_SUFFIXES, *DICOM_SUFFIXES)

# What Pillow may take a raster file for, whatever its suffix says: some of its other formats run programs
RASTER_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")

# PIL modes that hold one gray channel at full depth; all others are converted to 8-bit gray (luma, without alpha).
GRAY_MODES = ("L", "I", "I;16", "I;16B", "I;16L", "F")


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
    """Width and height in pixels from the file's header, without decoding the pixels.

    Raises:
        BundleError: the file is missing, has no supported suffix, its header cannot be read, or it is larger than
            `limits.MAX_PIXELS`.
    """
    suffix = checked_format(path)
    with readable(path):
        if suffix in NIFTI_SUFFIXES:
            import nibabel

            size = (*nibabel.load(path).shape, 1, 1)[:2]
        elif suffix in DICOM_SUFFIXES:
            header = read_header(path)
            size = (int(header.Columns), int(header.Rows))
        else:
            with Image.open(path, formats=RASTER_FORMATS) as image:
                size = image.size
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


def to_gray(image: Image.Image) -> Image.Image:
    """One gray channel of a raster image: colour by ITU-R BT.601 luma, palettes resolved, alpha dropped.

    The image is open, but not decoded yet: what is too large, or has several pages, is refused here.
    """
    check_pixels(image.filename, *image.size)
    if image.format in ("TIFF", "PNG") and getattr(image, "n_frames", 1) > 1:
        raise BundleError(f"{image.filename}: holds {image.n_frames} pages, expected one film")
    return image if image.mode in GRAY_MODES else image.convert("L")


def pixel_spacing(meta: Mapping[str, object]) -> tuple[float, float] | None:
    """(row, column) spacing in mm from the metadata of a loaded image, or None where its file does not say."""
    if "pixel_spacing" not in meta:
        return None
    row, column = (float(value) for value in np.asarray(meta["pixel_spacing"]).ravel())
    return row, column


class LoadRadiographd(MapTransform):
    """Load files as 1 x W x H float32 `MetaTensor` in MONAI's axis order.

    PNG, JPEG, BMP and TIFF (8 and 16 bit, gray or colour), 2D NIfTI, and DICOM (see `read_radiograph`). The metadata
    hold "pixel_spacing", (row, column) in mm, where the file says it.

    Args:
        keys: entries of the data dictionary that hold a path.
        allow_missing_keys: skip absent keys (inference has no masks).

    Raises:
        BundleError: a file is missing, of unknown suffix, damaged, larger than `limits.MAX_PIXELS`, not one gray 2D
            image, or holds NaN or infinite values; names the file.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        readers = {RASTER_SUFFIXES: PILReader(to_gray, formats=RASTER_FORMATS), NIFTI_SUFFIXES: NibabelReader()}
        self.readers = {suffix: reader for suffixes, reader in readers.items() for suffix in suffixes}

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.load_one(str(d[key]))
        return d

    def load_one(self, path: str) -> MetaTensor:
        """Load the file at `path`: 1 x W x H."""
        suffix = checked_format(path)
        with readable(path):
            pixels, meta = read_film(path) if suffix in DICOM_SUFFIXES else self.read_array(path, suffix)
        gray = np.squeeze(pixels, axis=tuple(axis for axis in range(2, pixels.ndim) if pixels.shape[axis] == 1))
        if gray.ndim != 2:
            raise BundleError(
                f"{path}: expected one 2D image of one channel, got {' x '.join(map(str, pixels.shape))} values"
            )
        if not np.isfinite(gray).all():
            raise BundleError(f"{path}: holds NaN or infinite values")
        meta |= {"spatial_shape": np.asarray(gray.shape), "original_channel_dim": float("nan")}
        return MetaTensor(torch.from_numpy(np.ascontiguousarray(gray))[None], meta=meta)

    def read_array(self, path: str, suffix: str) -> tuple[np.ndarray, dict]:
        """Values and metadata by the MONAI reader for `suffix`: W x H, volumes with more axes."""
        image = self.readers[suffix].read(path)
        if suffix in NIFTI_SUFFIXES:
            check_pixels(path, *image.shape)
        values, meta = self.readers[suffix].get_data(image)
        if values.dtype.kind not in "biuf":
            raise BundleError(f"{path}: holds values of the type {values.dtype}, expected one gray channel")
        meta["filename_or_obj"] = path
        if suffix in NIFTI_SUFFIXES:
            column, row = (float(value) for value in np.asarray(meta["pixdim"]).ravel()[1:3])
            if row > 0 and column > 0:
                meta["pixel_spacing"] = np.array([row, column])
        return values.astype(np.float32, copy=False), meta


def read_film(path: str) -> tuple[np.ndarray, dict]:
    """Values (W x H) and metadata of a DICOM file, as MONAI's readers give them."""
    gray, meta = read_radiograph(path)
    affine = film_affine(pixel_spacing(meta))
    return gray.T, {"filename_or_obj": path, "affine": affine, "original_affine": affine, "space": "RAS", **meta}


def film_affine(spacing: tuple[float, float] | None) -> np.ndarray:
    """Affine of a W x H film whose place in the patient is unknown: x to the patient's left, y to the feet, in mm.

    Args:
        spacing: (row, column) in mm; None makes a pixel the unit.
    """
    row, column = spacing or (1.0, 1.0)
    return np.diag([-column, -row, 1.0, 1.0])  # NIfTI and MONAI count to the right and to the head
