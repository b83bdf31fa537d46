"""What a server answers with."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..data.loading import film_record
from ..films.suffixes import DICOM_SUFFIXES, NIFTI_SUFFIXES, RASTER_SUFFIXES, image_format


class Answerd(MapTransform):
    """Bring each mask into the shape and file format in which MONAI Label writes it, with what is known of it.

    - "result", which becomes the JSON part of the answer, gets "expected_dice", "flags" and "film": what values, pose,
      spacing and field of the canonical film were taken from, in words.
    - "result_extension", unless the request names one: ".nii.gz" for NIfTI and DICOM films, whose spacing it keeps, and
      ".png" for all others, since JPEG would change class numbers.

    Where `SaveMaskd` saved the mask, nothing is done: no server is there, which would have left it out.

    Args:
        keys: one key, 1 x W x H label maps; becomes W x H uint8 for a raster image, or 1 x W x H x 1 for
            a volume (NIfTI, NRRD).
        image_key: the film, for its file and metadata.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        d = dict(data)
        if "files" in d:
            return d
        for key in self.key_iterator(d):
            meta = d[self.image_key].meta
            volume = image_format(meta["filename_or_obj"]) in (*NIFTI_SUFFIXES, *DICOM_SUFFIXES)
            d["result"] = {"expected_dice": round(d["expected_dice"], 4), "flags": d["flags"]}
            record = film_record(meta)
            if record is not None:
                d["result"]["film"] = record.described()
            d["result_extension"] = d.get("result_extension") or (".nii.gz" if volume else ".png")
            mask = d[key].as_tensor().to(torch.uint8)
            if d["result_extension"].lower() not in RASTER_SUFFIXES:
                mask = mask[..., None]
                meta["spatial_shape"] = np.asarray(mask.shape[1:])  # what MONAI Label brings the mask to
            else:
                mask = mask[0]
            d[key] = MetaTensor(mask, meta=d[key].meta)
        return d
