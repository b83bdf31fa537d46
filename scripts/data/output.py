"""From probabilities to masks on disk."""

from __future__ import annotations

import gzip
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, SaveImaged
from PIL import Image
from scipy import ndimage

from ..files import replacing
from .loading import NIFTI_SUFFIXES, image_stem, image_suffix


class LabelMapd(MapTransform):
    """Turn C probability channels into a uint8 label map: 0 background, c the most probable class above a threshold.

    Args:
        keys: C x H x W probabilities.
        threshold: least probability of a class.
    """

    def __init__(self, keys: KeysCollection, threshold: float = 0.5) -> None:
        super().__init__(keys)
        self.threshold = threshold

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        for key in self.key_iterator(d):
            if d[key].shape[0] == 1:
                d[key] = (d[key] > self.threshold).to(torch.uint8)
            else:
                probability, best = d[key].max(dim=0, keepdim=True)
                d[key] = (best + 1).to(torch.uint8) * (probability > self.threshold)
        return d


class FillHolesByComponentd(MapTransform):
    """What MONAI's `FillHolesd` does, by labelling the background once instead of dilating it until it is full.

    What is not connected to the border (over edges or corners) outside a class is filled with that class.

    Args:
        keys: 1 x H x W label maps.
        applied_labels: classes whose holes are filled.
    """

    def __init__(self, keys: KeysCollection, applied_labels: Sequence[int]) -> None:
        super().__init__(keys)
        self.applied_labels = list(applied_labels)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        for key in self.key_iterator(d):
            filled = d[key].clone()
            for label in self.applied_labels:
                filled[0][torch.from_numpy(holes(filled[0].cpu().numpy() == label)).to(filled.device)] = label
            d[key] = filled
        return d


def holes(mask: np.ndarray) -> np.ndarray:
    """Whether each pixel lies in a hole of an H x W boolean mask."""
    components, count = ndimage.label(~mask, np.ones((3, 3)))
    enclosed = np.ones(count + 1, dtype=bool)
    for edge in (components[0], components[-1], components[:, 0], components[:, -1]):
        enclosed[edge] = False
    enclosed[0] = False  # the mask itself
    return enclosed[components]


class SaveMaskd(SaveImaged):
    """Save each mask as NAME_mask.png, or as NAME_mask.nii.gz with the input's header if the input is NIfTI.

    PNG masks of one class hold 0 and 255, others the class numbers; NIfTI masks hold the class numbers.

    Args:
        keys: 1 x W x H label maps in MONAI's axis order.
        output_dir: folder to write to.
        data_root_dir: subfolders of the inputs below it are kept.
        classes: number of classes.
    """

    # A subclass, because hosts such as MONAI Label leave out transforms of this type and save by themselves.

    def __init__(
        self, keys: KeysCollection, output_dir: str | Path, data_root_dir: str | Path = ".", classes: int = 1
    ) -> None:
        MapTransform.__init__(self, keys)
        self.output_dir = Path(output_dir)
        self.root = Path(data_root_dir).resolve()
        self.scale = 255 if classes == 1 else 1

    def __call__(self, data: Mapping[Hashable, MetaTensor]) -> dict[Hashable, MetaTensor]:
        d = dict(data)
        for key in self.key_iterator(d):
            self.save(d[key][0].cpu().numpy().astype(np.uint8), Path(d[key].meta["filename_or_obj"]))
        return d

    def save(self, mask: np.ndarray, source: Path) -> None:
        """Write the W x H label map of the image at `source`."""
        parent = source.resolve().parent
        folder = self.output_dir / (parent.relative_to(self.root) if parent.is_relative_to(self.root) else "")
        if image_suffix(source) in NIFTI_SUFFIXES:
            original = nibabel.load(source)
            header = original.header.copy()
            header.set_data_dtype(np.uint8)
            image = nibabel.Nifti1Image(mask.reshape(original.shape), original.affine, header)
            with replacing(folder / f"{image_stem(source)}_mask.nii.gz") as partial:
                partial.write_bytes(gzip.compress(image.to_bytes()))
        else:
            with replacing(folder / f"{image_stem(source)}_mask.png") as partial:
                Image.fromarray(mask.T * self.scale).save(partial, format="PNG", compress_level=3)
