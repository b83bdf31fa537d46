"""Phantoms drawn on the fly for pretraining."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.transforms import Randomizable, Transform

from ..errors import BundleError
from ..phantoms import generate_phantom


class DrawPhantomd(Transform):
    """Draw the phantom of `data["seed"]`: adds "image" 1 x S x S in [0, 1] and "organs" K x S x S of zeros and ones.

    Args:
        size: side S in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, data: Mapping[Hashable, int]) -> dict[Hashable, object]:
        phantom = generate_phantom(data["seed"], self.size)
        organs = np.stack([mask for mask in phantom.organs.values() if mask.any()])
        return dict(data, image=torch.from_numpy(phantom.image)[None], organs=torch.from_numpy(organs))


class OrganBySeedd(Transform):
    """Replace "organs" by "label", the 1 x S x S mask of one of them, which the seed decides (for validation)."""

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        d = dict(data)
        organs = d.pop("organs")
        d["label"] = organs[d["seed"] % len(organs)][None].float()
        return d


class RandOrgand(Randomizable, Transform):
    """Replace "organs" by "label", the 1 x S x S mask of one of them, drawn uniformly."""

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        d = dict(data)
        organs = d.pop("organs")
        d["label"] = organs[self.R.randint(len(organs))][None].float()
        return d


def phantom_seeds(count: int, first: int = 0) -> list[dict]:
    """Data list of `count` phantoms: {"seed": first + i, "id": "phantom_0000i"}."""
    if count < 1:
        raise BundleError(f"the number of phantoms must be at least 1, got {count}")
    return [{"seed": first + i, "id": f"phantom_{first + i:05d}"} for i in range(count)]
