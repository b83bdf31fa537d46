"""PNG, JPEG, BMP and TIFF films."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin

from ..errors import BundleError
from .film import StoredFilm
from .limits import check_pixels
from .pose import UPRIGHT, Pose, pose_of_exif
from .spacing import believable

# What Pillow may take a raster file for, whatever its suffix says: some of its other formats run programs
RASTER_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
# PIL modes that hold one gray channel at full depth; all others are converted to 8-bit gray (luma, without alpha).
GRAY_MODES = ("L", "I", "I;16", "I;16B", "I;16L", "F")
ORIENTATION, PHOTOMETRIC, WHITE_IS_ZERO = 0x0112, 262, 0
# Pillow knows TIFF of 16 bits WhiteIsZero with the low byte first, but not with the high byte first
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", WHITE_IS_ZERO, (1,), 1, (16,), ()), ("I;16B", "I;16B"))
SAMPLES_PER_INCH = (282, 283)  # XResolution, YResolution; the unit does not matter here


def read_raster(path: str | Path) -> StoredFilm:
    """The film at `path`, in the order in which its pixels are stored."""
    # By a file object: of a name Pillow maps some TIFF into memory, with the sides of the turned picture
    with Path(path).open("rb") as file, Image.open(file, formats=RASTER_FORMATS) as image:
        pose = stored_pose(image)
        # Pillow inverts 8 bits by itself, and turns TIFF as soon as it is loaded
        inverted = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
        inverted = inverted and image.mode not in ("1", "L")
        aspect, aspect_source = pixel_aspect(image)
        turned_by_pillow = pose if image.format == "TIFF" and pose else UPRIGHT
        check_raster(image, path)
        image.load()
        values = np.asarray(to_gray(image))
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise BundleError(f"{path}: holds values of the type {values.dtype}, expected one gray channel")
    values = np.ascontiguousarray(turned_by_pillow.stored(values)).astype(np.float32, copy=False)
    if inverted:
        values = values.max() + values.min() - values
    source = "WhiteIsZero" if inverted else "as stored"
    pose_source = "Orientation" if pose else ""
    return StoredFilm(values, source, False, pose, pose_source, aspect=aspect, aspect_source=aspect_source)


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an open, not yet loaded image as its pixels are stored."""
    pose = stored_pose(image)
    return image.size[::-1] if image.format == "TIFF" and pose and pose.transpose else image.size


def stored_pose(image: Image.Image) -> Pose | None:
    """What EXIF (JPEG, PNG) or TIFF say that makes an open, not yet loaded image upright.

    A file that says 1 says it without having looked: every camera and most software do. It counts as silence.
    """
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # damaged EXIF, of a picture whose pixels are fine
        return None
    pose = pose_of_exif(orientation)
    return pose if pose != UPRIGHT else None


def pixel_aspect(image: Image.Image) -> tuple[float, str]:
    """Height of a pixel over its width, and the field that states it."""
    names = {"TIFF": "XResolution, YResolution", "PNG": "pHYs", "JPEG": "JFIF density", "BMP": "pixels per metre"}
    density = image.info.get("aspect") or image.info.get("dpi") or image.info.get("jfif_density")
    if image.format == "TIFF":
        density = tuple(image.tag_v2.get(tag) for tag in SAMPLES_PER_INCH)
    try:
        across, down = (float(value) for value in density)
        if across > 0 and down > 0:
            return believable(across / down, names[image.format])
    except (TypeError, ValueError, ZeroDivisionError):
        pass
    return 1.0, ""


def check_raster(image: Image.Image, path: str | Path) -> None:
    """Refuse an image at `path` that is open, but not decoded yet, if it is too large or has several pages."""
    check_pixels(path, *image.size)
    if image.format in ("TIFF", "PNG") and getattr(image, "n_frames", 1) > 1:
        raise BundleError(f"{path}: holds {image.n_frames} pages, expected one film")


def to_gray(image: Image.Image) -> Image.Image:
    """One gray channel of a raster image: colour by ITU-R BT.601 luma, palettes resolved, alpha dropped."""
    return image if image.mode in GRAY_MODES else image.convert("L")
