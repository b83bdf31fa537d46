"""Pixels that are not square, said by DICOM, TIFF, JFIF, PNG and NIfTI."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from .dicom_writing import DX_FOR_PRESENTATION, SECONDARY_CAPTURE, stored, write_dicom
from .forms import FORMS, Variant
from .forms_nifti import affine_of, voxels
from .forms_pose import directions, exif_pose, random_pose
from .geometry import POSES, Film
from .raster_writing import bytes_of, write_jpeg, write_nifti, write_png, write_tiff


def squeezed(film: Film, rng: np.random.Generator) -> tuple[Film, tuple[float, float], str]:
    """A film with wide or tall pixels: one axis has fewer of them, or the other one more.

    Returns:
        The film, the height and the width of its pixels in mm, and what was drawn.
    """
    ratio, wide, fewer = float(rng.uniform(1.1, 2)), bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    height, width = film.image.shape
    if wide == fewer:  # wide pixels: fewer columns; tall ones: more columns
        width = round(width / ratio) if fewer else round(width * ratio)
    else:
        height = round(height / ratio) if fewer else round(height * ratio)
    scaled = film.scaled(height, width)
    side = float(rng.uniform(0.1, 0.4))
    tall, broad = (side * before / after for before, after in zip(film.image.shape, (height, width)))
    return scaled, (tall, broad), f"{'wide' if wide else 'tall'} {ratio:.2f}, {height} x {width}"


def spaced(tag: str, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Row spacing (height of a pixel), then column spacing (width)."""
    scaled, (tall, wide), detail = squeezed(film, rng)
    tags: dict[str, object] = {tag: [f"{tall:.6f}", f"{wide:.6f}"]}
    if tag == "PixelSpacing" and rng.random() < 0.3:  # calibrated: on the detector the film is larger
        tags["ImagerPixelSpacing"] = [f"{1.1 * tall:.6f}", f"{1.1 * wide:.6f}"]
    sop_class = {"NominalScannedPixelSpacing": SECONDARY_CAPTURE, "ImagerPixelSpacing": DX_FOR_PRESENTATION}.get(tag)
    written = write_dicom(path, stored(scaled.image), tags, **({"sop_class": sop_class} if sop_class else {}))
    return Variant(written, scaled, detail)


FORMS.add("pixel_spacing", "pixels", partial(spaced, "PixelSpacing"))
FORMS.add("imager_pixel_spacing", "pixels", partial(spaced, "ImagerPixelSpacing"))
FORMS.add("nominal_scanned_pixel_spacing", "pixels", partial(spaced, "NominalScannedPixelSpacing"))


@FORMS.form("pixel_aspect_ratio", "pixels")
def pixel_aspect_ratio(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Height to width of a pixel in whole numbers, without any spacing (C.7.6.3.1.7)."""
    scaled, (tall, wide), detail = squeezed(film, rng)
    ratio = Fraction(tall / wide).limit_denominator(int(rng.choice([50, 1000])))
    tags = {"PixelAspectRatio": [ratio.numerator, ratio.denominator]}
    return Variant(write_dicom(path, stored(scaled.image), tags), scaled, f"{detail}, {ratio}")


@FORMS.form("tiff_resolution", "pixels")
def tiff_resolution(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Pixels an inch, a centimetre, or without a unit."""
    scaled, (tall, wide), detail = squeezed(film, rng)
    unit = int(rng.integers(1, 4))
    across, down = (Fraction(25.4 / side).limit_denominator(1000) for side in (wide, tall))
    fields = {"XResolution": across, "YResolution": down, "ResolutionUnit": unit}
    written = write_tiff(path, stored(scaled.image, 16), fields, str(rng.choice(["<", ">"])))
    return Variant(written, scaled, f"{detail}, unit {unit}")


@FORMS.form("jfif_density", "pixels")
def jfif_density(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Pixels an inch in whole numbers (JFIF 1.02)."""
    scaled, (tall, wide), detail = squeezed(film, rng)
    density = (round(25.4 / wide), round(25.4 / tall))
    return Variant(write_jpeg(path, bytes_of(scaled.image), density=density), scaled, detail)


@FORMS.form("png_density", "pixels")
def png_density(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Pixels a metre (PNG, pHYs)."""
    scaled, (tall, wide), detail = squeezed(film, rng)
    return Variant(write_png(path, bytes_of(scaled.image), density=(1000 / wide, 1000 / tall)), scaled, detail)


@FORMS.form("nifti_zooms", "pixels")
def nifti_zooms(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Voxels that are not square, in any pose."""
    scaled, (tall, wide), detail = squeezed(film, rng)
    pose = POSES[int(rng.integers(len(POSES)))]
    turned = scaled.turned(pose)
    # Without transposition the array's first axis runs along a column of the film
    affine = affine_of(turned, str(rng.choice(["y", "z"])), (wide, tall) if pose[0] else (tall, wide), rng)
    return Variant(write_nifti(path, voxels(turned.image, rng), affine), turned, f"{detail}, pose {pose}")


@FORMS.form("spacing_and_orientation", "pixels")
def spacing_and_orientation(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A turned film: spacing is of the rows and columns as they are stored."""
    scaled, (tall, wide), detail = squeezed(film, rng)
    pose = random_pose(rng)
    turned = scaled.turned(pose)
    if pose[0]:
        tall, wide = wide, tall
    tags = {"PixelSpacing": [f"{tall:.6f}", f"{wide:.6f}"], "PatientOrientation": list(directions(turned))}
    return Variant(write_dicom(path, stored(turned.image), tags), turned, f"{detail}, {directions(turned)}")


@FORMS.form("resolution_and_exif", "pixels")
def resolution_and_exif(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """A turned TIFF: resolutions are of its columns and rows as they are stored."""
    scaled, (tall, wide), detail = squeezed(film, rng)
    orientation = int(rng.integers(2, 9))
    pose = exif_pose(orientation)
    turned = scaled.turned(pose)
    if pose[0]:
        tall, wide = wide, tall
    across, down = (Fraction(25.4 / side).limit_denominator(1000) for side in (wide, tall))
    fields = {"XResolution": across, "YResolution": down, "ResolutionUnit": 2, "Orientation": orientation}
    return Variant(write_tiff(path, stored(turned.image, 16), fields), turned, f"{detail}, Orientation {orientation}")
