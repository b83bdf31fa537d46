"""One mask as a file: PNG, NIfTI, or drawn over its film."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from ..files import replacing
from ..films.affine import film_affine
from ..films.reading import read_film
from ..films.record import Record
from ..films.suffixes import NIFTI_SUFFIXES, image_format
from ..reporting import overlay


@dataclass(frozen=True)
class Mask:
    """A label map and where it comes from.

    Args:
        labels: W x H, 0 background, c the class class_names[c - 1].
        source: the film.
        class_names: in the order of their numbers.
        spacing: (row, column) in mm, or None.
        record: how the canonical film came about, or None for a film that hangs as it is stored.
    """

    labels: np.ndarray
    source: Path
    class_names: tuple[str, ...]
    spacing: tuple[float, float] | None = None
    record: Record | None = None


def write_png(mask: Mask, path: Path) -> None:
    """0 and 255 for one class, else class numbers."""
    scale = 255 if len(mask.class_names) == 1 else 1
    with replacing(path) as partial:
        Image.fromarray(mask.labels.T * scale).save(partial, format="PNG", compress_level=3)


def write_nifti(mask: Mask, path: Path) -> None:
    """Class numbers, with the header of a NIfTI film, else with the film's spacing."""
    if image_format(mask.source) in NIFTI_SUFFIXES:
        film = nibabel.load(mask.source)
        header = film.header.copy()
        header.set_data_dtype(np.uint8)
        image = nibabel.Nifti1Image(mask.labels.reshape(film.shape), film.affine, header)
    else:
        pose = mask.record.pose if mask.record else None
        image = nibabel.Nifti1Image(mask.labels[..., None], film_affine(mask.spacing, pose, mask.labels.shape[::-1]))
        image.header.set_xyzt_units("mm" if mask.spacing else "unknown")
    with replacing(path) as partial:
        partial.write_bytes(gzip.compress(image.to_bytes()))


def write_overlay(mask: Mask, path: Path) -> None:
    """Outlines of the mask on the upright film, with its exposed field; at most 1024 pixels wide and high."""
    film = read_film(mask.source).values
    classes = [mask.labels.T == number for number in range(1, len(mask.class_names) + 1)]
    corners = None
    if mask.record is not None:
        whole = replace(mask.record, field=None)
        film = whole.apply(film.max() + film.min() - film if mask.record.inverted else film)
        classes = [whole.apply(channel) > 0.5 for channel in classes]
        corners = mask.record.field and mask.record.field.corners
    picture = overlay(film, np.stack(classes), side=min(1024, max(film.shape)), thickness=3, field=corners)
    with replacing(path) as partial:
        picture.save(partial, format="PNG")
