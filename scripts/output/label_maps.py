"""From probabilities to label maps."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from scipy import ndimage


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
    found = np.zeros_like(mask)
    if not mask.any():
        return found
    # Holes lie within the mask's bounding box, and what touches the box's edge is none
    inside = tuple(slice(lines[0], lines[-1] + 1) for lines in (mask.any(axis).nonzero()[0] for axis in (1, 0)))
    components, count = ndimage.label(~mask[inside], np.ones((3, 3)))
    enclosed = np.ones(count + 1, dtype=bool)
    for edge in (components[0], components[-1], components[:, 0], components[:, -1]):
        enclosed[edge] = False
    enclosed[0] = False  # the mask itself
    found[inside] = enclosed[components]
    return found
