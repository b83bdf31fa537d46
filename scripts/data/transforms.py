"""Invertible letterbox, augmentation that MONAI lacks, and masks as class channels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform, RandomizableTransform
from torch.nn import functional as F

from ..errors import BundleError
from ..films.affine import planar
from .prompts import carry_box


def fit_longest(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width scaled so that the longer side is `size` pixels, each at least 1."""
    scale = size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def scaling(factor: float) -> np.ndarray:
    """3 x 3 matrix of (x, y, 1) that makes a picture `factor` times as large; pixels' centres are whole."""
    shift = factor / 2 - 0.5
    return np.array([[factor, 0, shift], [0, factor, shift], [0, 0, 1]])


class Letterboxd(MapTransform, InvertibleTransform):
    """Scale the longer side to `size` and pad right and bottom with zeros, as SAM frames its inputs.

    Masks too are scaled with antialiasing: a pixel that an outline crosses gets the share that is covered. Nearest
    neighbours would move every outline, since with ties they all round to the same side. The inverse crops and scales
    back bilinearly, which suits logits and probabilities.

    Args:
        keys: C x H x W tensors.
        size: side of the square output in pixels.
        allow_missing_keys: skip absent keys.
    """

    def __init__(self, keys: KeysCollection, size: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size = size

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        for key in self.key_iterator(d):
            height, width = d[key].shape[1:]
            d[key] = self._forward(d[key])
            matrix = scaling(self.size / max(height, width))
            carry_box(d[key], matrix)
            if isinstance(d[key], MetaTensor):
                d[key].affine = d[key].affine @ torch.as_tensor(planar(np.linalg.inv(matrix)))
            self.push_transform(d, key, extra_info={"height": int(height), "width": int(width)})
        return d

    def _forward(self, image: torch.Tensor) -> torch.Tensor:
        inner = fit_longest(*image.shape[1:], self.size)
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        if plain.shape[1:] != inner:
            plain = F.interpolate(plain[None].float(), inner, mode="bilinear", antialias=True)[0]
        plain = F.pad(plain, (0, self.size - inner[1], 0, self.size - inner[0]))
        return (
            MetaTensor(plain, meta=image.meta, applied_operations=image.applied_operations)
            if isinstance(image, MetaTensor)
            else plain
        )

    def inverse(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        for key in self.key_iterator(d):
            info = self.pop_transform(d, key)["extra_info"]
            height, width = info["height"], info["width"]
            inner = fit_longest(height, width, self.size)
            plain = d[key].as_tensor() if isinstance(d[key], MetaTensor) else d[key]
            plain = plain[:, : inner[0], : inner[1]]
            if plain.shape[1:] != (height, width):
                plain = F.interpolate(plain[None].float(), (height, width), mode="bilinear")[0]
            if isinstance(d[key], MetaTensor):
                plain = MetaTensor(plain, meta=d[key].meta, applied_operations=d[key].applied_operations)
                matrix = scaling(self.size / max(height, width))
                plain.affine = plain.affine @ torch.as_tensor(planar(matrix))
            d[key] = plain
        return d


class RandLocalContrastd(RandomizableTransform, MapTransform):
    """Add a random share of the difference between image and blur, as unsharp masking and equalising detectors do.

    The result is scaled back to the range of the input.

    Args:
        keys: C x H x W images.
        prob: probability of a change.
        sigma: range of the blur's standard deviation in pixels.
        strength: range of the share; negative values flatten local contrast.
    """

    def __init__(
        self, keys: KeysCollection, prob: float, sigma: tuple[float, float], strength: tuple[float, float]
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.sigma = tuple(sigma)
        self.strength = tuple(strength)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return d
        sigma, strength = self.R.uniform(*self.sigma), self.R.uniform(*self.strength)
        for key in self.key_iterator(d):
            plain = d[key].as_tensor() if isinstance(d[key], MetaTensor) else d[key]
            changed = plain + strength * (plain - blur(plain, sigma))
            low, high = changed.amin(), changed.amax()
            changed = (changed - low) / (high - low).clamp(min=1e-6) * (plain.amax() - plain.amin()) + plain.amin()
            d[key] = MetaTensor(changed, meta=d[key].meta) if isinstance(d[key], MetaTensor) else changed
        return d


def blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """C x H x W image blurred by about `sigma` pixels: the mean over 3 x 3 cells of sigma pixels, interpolated."""
    height, width = image.shape[1:]
    coarse = (max(1, round(height / sigma)), max(1, round(width / sigma)))
    small = F.interpolate(image[None], coarse, mode="area")
    small = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return F.interpolate(small, (height, width), mode="bicubic", align_corners=False)[0]


class MaskChannelsd(MapTransform):
    """Turn a mask of integer values into C binary channels.

    Args:
        keys: 1 x H x W masks; for one class the values are {0, 1} or {0, 255}, for C classes 0 (background) to C.
        classes: number of classes C.
        allow_missing_keys: skip absent keys.

    Raises:
        BundleError: a mask holds other values; names file and values.
    """

    def __init__(self, keys: KeysCollection, classes: int = 1, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if classes < 1:
            raise ValueError(f"classes must be at least 1, got {classes}")
        self.classes = classes

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.split(d[key])
        return d

    def split(self, mask: torch.Tensor) -> torch.Tensor:
        """1 x H x W integer mask -> C x H x W float mask of zeros and ones."""
        plain = mask.as_tensor() if isinstance(mask, MetaTensor) else mask
        values = set(plain.unique().tolist())
        if self.classes == 1 and values <= {0.0, 255.0}:
            channels = (plain > 0).float()
        elif values <= set(map(float, range(self.classes + 1))):
            channels = torch.cat([plain == value for value in range(1, self.classes + 1)]).float()
        else:
            expected = "{0, 1} or {0, 255}" if self.classes == 1 else f"0 to {self.classes}"
            path = mask.meta.get("filename_or_obj", "mask") if isinstance(mask, MetaTensor) else "mask"
            found = ", ".join(f"{value:g}" for value in sorted(values)[:8])
            raise BundleError(
                f"{path}: mask holds the values {found}; expected {expected} for {self.classes} class(es)"
            )
        return MetaTensor(channels, meta=mask.meta) if isinstance(mask, MetaTensor) else channels
