"""Masks of a folder run on disk."""

from __future__ import annotations

import errno
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, SaveImaged

from ..data.loading import film_record, pixel_spacing
from ..errors import BundleError
from ..files import name_below
from ..films.suffixes import NIFTI_SUFFIXES, image_format, image_stem
from .dicom_seg import write_seg
from .formats import Mask, write_nifti, write_overlay, write_png

WRITERS = {
    "png": ("_mask.png", write_png),
    "nifti": ("_mask.nii.gz", write_nifti),
    "seg": ("_seg.dcm", write_seg),
    "overlay": ("_overlay.png", write_overlay),
}


class SaveMaskd(SaveImaged):
    """Save each mask beside its film's relative path: NAME_mask.png, NAME_mask.nii.gz, NAME_seg.dcm, NAME_overlay.png.

    The files written are listed under "files"; a format that cannot serve a film leaves the message under "error".

    Args:
        keys: 1 x W x H label maps in MONAI's axis order.
        output_dir: folder to write to.
        data_root_dir: subfolders of the inputs below it are kept.
        class_names: names of the classes, in the order of their numbers.
        formats: any of "png", "nifti", "seg" (DICOM films only) and "overlay"; None writes NIfTI for NIfTI films and
            PNG for all others.

    Raises:
        BundleError: unknown format.
    """

    # A subclass, because hosts such as MONAI Label leave out transforms of this type and save by themselves.

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | Path,
        data_root_dir: str | Path = ".",
        class_names: Sequence[str] = ("lungs",),
        formats: Sequence[str] | None = None,
    ) -> None:
        MapTransform.__init__(self, keys)
        self.output_dir = Path(output_dir)
        self.root = Path(data_root_dir)
        self.class_names = tuple(class_names)
        if formats is not None and (isinstance(formats, str) or not formats or not set(formats) <= set(WRITERS)):
            raise BundleError(f"formats {formats!r}: expected some of {', '.join(WRITERS)} as a list, or null")
        self.formats = formats

    def __call__(self, data: Mapping[Hashable, MetaTensor]) -> dict[Hashable, object]:
        d = dict(data, files=[])
        for key in self.key_iterator(d):
            meta = d[key].meta
            labels = d[key][0].cpu().numpy().astype(np.uint8)
            mask = Mask(labels, Path(meta["filename_or_obj"]), self.class_names, pixel_spacing(meta), film_record(meta))
            for name in self.formats or (["nifti"] if image_format(mask.source) in NIFTI_SUFFIXES else ["png"]):
                try:
                    d["files"].append(self.save(mask, name))
                except BundleError as error:
                    d["error"] = str(error)
        return d

    def save(self, mask: Mask, name: str) -> str:
        """Write `mask` in the format `name`; returns the path relative to the output folder."""
        below = name_below(mask.source.parent, self.root) or Path()
        suffix, write = WRITERS[name]
        path = below / f"{image_stem(mask.source)}{suffix}"
        try:
            write(mask, self.output_dir / path)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise BundleError(f"{mask.source}: its name is too long to add {suffix} to; shorten it") from error
            raise
        return path.as_posix()
