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

    Both lungs together are the first organ; organs outside the film are left out.

    Args:
        size: side S in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, data: Mapping[Hashable, int]) -> dict[Hashable, object]:
        phantom = generate_phantom(data["seed"], self.size)
        names = sorted((name for name, mask in phantom.organs.items() if mask.any()), key=lambda name: name != "lungs")
        organs = np.stack([phantom.organs[name] for name in names])
        return dict(data, image=torch.from_numpy(phantom.image)[None], organs=torch.from_numpy(organs))


def choose_organ(data: Mapping[Hashable, object], index: int) -> dict[Hashable, object]:
    """Replace "organs" by "label", the 1 x S x S mask of one of them, and say in "whole_image" how to prompt for it.

    Args:
        index: of the organ, to be prompted with its box; -1 takes both lungs, to be prompted with the whole image.
    """
    d = dict(data)
    organs = d.pop("organs")
    return dict(d, label=organs[max(index, 0)][None].float(), whole_image=index < 0)


class OrganBySeedd(Transform):
    """`choose_organ` with an index that follows from the seed (for validation)."""

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        return choose_organ(data, data["seed"] % (len(data["organs"]) + 1) - 1)


class RandOrgand(Randomizable, Transform):
    """`choose_organ` with a random index.

    Args:
        whole_image: probability of both lungs, prompted with the whole image; else all organs are equally likely.
    """

    def __init__(self, whole_image: float) -> None:
        if not 0 <= whole_image <= 1:
            raise BundleError(f"the probability of a whole-image prompt must lie in 0..1, got {whole_image}")
        self.whole_image = whole_image

    def __call__(self, data: Mapping[Hashable, object]) -> dict[Hashable, object]:
        if self.R.random() < self.whole_image:
            return choose_organ(data, -1)
        return choose_organ(data, self.R.randint(len(data["organs"])))


def phantom_seeds(count: int, first: int = 0) -> list[dict]:
    """Data list of `count` phantoms: {"seed": first + i, "id": "phantom_0000i"}."""
    if count < 1:
        raise BundleError(f"the number of phantoms must be at least 1, got {count}")
    return [{"seed": first + i, "id": f"phantom_{first + i:05d}"} for i in range(count)]
