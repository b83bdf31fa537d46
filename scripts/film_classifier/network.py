"""The classifier in floating point, as it is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..films.looking import POSES, SIDE


class FilmNetwork(nn.Sequential):
    """3 x 3 convolutions of stride 2 with batch norm and ReLU, and one linear layer.

    B x 1 x 64 x 64 in [0, 1] -> B x 16.

    Args:
        channels: of each convolution; 9 times all but the last must be below 2 ** 24 / (127 * 255) = 518, so that sums
            of integers are exact in float32.
        dropout: before the linear layer.
    """

    def __init__(self, channels: Sequence[int], dropout: float) -> None:
        layers: list[nn.Module] = []
        for before, after in zip((1, *channels), channels):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        side = SIDE >> len(channels)
        super().__init__(*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels[-1] * side * side, 2 * POSES))

    def folded(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Weight and bias of each layer with batch norm in them, as it is in evaluation."""
        layers = []
        modules = list(self)
        for convolution, norm in zip(modules, modules[1:]):
            if isinstance(convolution, nn.Conv2d):
                gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
                layers.append((convolution.weight * gain[:, None, None, None], norm.bias - norm.running_mean * gain))
        return [*((w.detach(), b.detach()) for w, b in layers), (self[-1].weight.detach(), self[-1].bias.detach())]
