"""From upright pictures to pictures in all sixteen states, as differently exposed and framed as films are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional as F

from ..films.looking import PERCENTILES, POSES, SIDE
from ..films.pose import Pose
from .pictures import PictureSet


class StateBatch:
    """`prepare_batch` that draws a state for each picture and makes the picture look like it.

    Args:
        seed: of the draws.
        turn: largest angle in degrees.
        scale: range of the size.
        stretch: largest relative difference between width and height.
        shift: largest displacement, of the side.
        gamma: largest logarithm of the exponent of the grays.
        clip: largest share that a window takes at either end.
        contrast: range of the local contrast added.
        noise: largest standard deviation.
        shutters: probability of a shutter on each side.
        depth: of a shutter at most, of the side.
        patches: letters, markers and devices at most.
    """

    def __init__(
        self,
        seed: int = 0,
        turn: float = 16.0,
        scale: tuple[float, float] = (0.8, 1.35),
        stretch: float = 0.15,
        shift: float = 0.1,
        gamma: float = 0.8,
        clip: float = 0.15,
        contrast: tuple[float, float] = (-0.5, 1.5),
        noise: float = 0.05,
        shutters: float = 0.15,
        depth: float = 0.1,
        patches: int = 4,
    ) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.turn, self.scale, self.stretch, self.shift = turn, scale, stretch, shift
        self.gamma, self.clip, self.contrast, self.noise = gamma, clip, contrast, noise
        self.shutters, self.depth, self.patches = shutters, depth, patches

    def uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator) * (high - low) + low

    def __call__(self, batchdata: Mapping[str, torch.Tensor], device=None, non_blocking=False, **kwargs) -> tuple:
        """Return (B x 1 x 64 x 64, B states, (), {}) on `device`."""
        images = torch.as_tensor(batchdata["image"]).float()
        images = self.grayed(self.framed(images))
        images = self.covered(images)
        states = torch.randint(2 * POSES, (len(images),), generator=self.generator)
        images = scaled(in_states(images, states))
        return images.to(device), states.to(device), (), {}

    def framed(self, images: torch.Tensor) -> torch.Tensor:
        """Turned, scaled and shifted: B x 1 x 96 x 96 -> B x 1 x 64 x 64."""
        count = len(images)
        angle = torch.deg2rad(self.uniform(-self.turn, self.turn, count))
        size = torch.exp(self.uniform(*torch.log(torch.tensor(self.scale)).tolist(), count))
        across = torch.exp(self.uniform(-self.stretch, self.stretch, count))
        matrix = torch.zeros(count, 2, 3)
        matrix[:, 0, 0], matrix[:, 0, 1] = torch.cos(angle) / size * across, -torch.sin(angle) / size
        matrix[:, 1, 0], matrix[:, 1, 1] = torch.sin(angle) / size, torch.cos(angle) / size / across
        matrix[:, :, 2] = self.uniform(-2 * self.shift, 2 * self.shift, count, 2)
        grid = F.affine_grid(matrix, (count, 1, SIDE, SIDE), align_corners=False)
        inside = F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
        outside = 1 - F.grid_sample(torch.ones_like(images), grid, padding_mode="zeros", align_corners=False)
        return inside + outside * (self.uniform(0, 1, count, 1, 1, 1) > 0.8).float()

    def grayed(self, images: torch.Tensor) -> torch.Tensor:
        """Other detectors and other processing."""
        count = len(images)
        one = (count, 1, 1, 1)
        blurred = F.avg_pool2d(F.pad(images, (4, 4, 4, 4), mode="replicate"), 9, stride=1)
        images = images + self.uniform(*self.contrast, *one) * (images - blurred)
        low, high = self.uniform(0, self.clip, *one), 1 - self.uniform(0, self.clip, *one)
        images = ((images - low) / (high - low)).clamp(0, 1)
        images = images ** torch.exp(self.uniform(-self.gamma, self.gamma, *one))
        noise = torch.randn(images.shape, generator=self.generator) * self.uniform(0, self.noise, *one)
        return (images + noise).clamp(0, 1)

    def covered(self, images: torch.Tensor) -> torch.Tensor:
        """Shutters at the sides, and patches of one gray."""
        images = images.clone()
        for image in images[:, 0]:
            for side in range(4):
                if float(self.uniform(0, 1, 1)) < self.shutters:
                    lines = max(1, int(self.uniform(0, self.depth, 1) * SIDE))
                    part = image if side < 2 else image.T
                    gray = float(self.uniform(0, 1, 1)) > 0.7
                    part[: lines if side % 2 == 0 else None][-lines:] = float(gray)
            for _ in range(int(torch.randint(self.patches + 1, (1,), generator=self.generator))):
                height, width = (int(value) for value in self.uniform(1, 12, 2))
                top, left = (int(value) for value in self.uniform(0, SIDE - 2, 2))
                image[top : top + height, left : left + width] = float(self.uniform(0, 1, 1).round())
        return images


def in_states(images: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """Upright B x 1 x S x S pictures as they are stored in B states: number of the pose, + 8 for negatives."""
    images = images.clone()
    for number in range(POSES):
        chosen = states % POSES == number
        pose = Pose.numbered(number)
        turned = images[chosen]
        axes = [axis for axis, flipped in ((-2, pose.flip_rows), (-1, pose.flip_columns)) if flipped]
        turned = turned.flip(axes)
        images[chosen] = turned.transpose(-1, -2) if pose.transpose else turned
    negative = (states >= POSES).view(-1, 1, 1, 1)
    return torch.where(negative, 1 - images, images)


def scaled(images: torch.Tensor) -> torch.Tensor:
    """B x 1 x S x S pictures between their percentiles, in 256 steps of [0, 1], as `looking.picture_of` gives them."""
    ordered = images.flatten(1).sort(dim=1).values
    places = (round(percent / 100 * (ordered.shape[1] - 1)) for percent in PERCENTILES)
    low, high = (ordered[:, place].view(-1, 1, 1, 1) for place in places)
    return ((images - low) / (high - low).clamp(min=1e-6) * 255 + 0.5).clamp(0, 255).floor() / 255


def upright_pictures(pictures: PictureSet) -> torch.Tensor:
    """N x 1 x 64 x 64 as the classifier sees upright films."""
    images = torch.stack([pictures[index]["image"] for index in range(len(pictures))])
    return scaled(F.interpolate(images, (SIDE, SIDE), mode="area"))
