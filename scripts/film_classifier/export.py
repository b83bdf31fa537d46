"""The trained classifier in integers."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..files import replacing
from ..films.looking import BRIGHTEST, POSES
from ..quantization.qparams import quantize, signed_range, symmetric_scale
from .network import FilmNetwork
from .pictures import FilmPictures, PictureSet
from .states import in_states, upright_pictures

LARGEST = 0.9999  # quantile of activations that becomes the largest of their 8 bits
BITS = 8


def export_classifier(network: FilmNetwork, pictures: FilmPictures, path: str | Path) -> None:
    """Write the integers of `network`, calibrated on the training part of `pictures`, to `path`."""
    network.eval()
    layers = integer_layers(network, pictures["train"])
    content = io.BytesIO()
    named = {
        f"{name}{n}": part for n, layer in enumerate(layers) for name, part in zip(("weight", "bias", "scale"), layer)
    }
    np.savez_compressed(content, **named)
    with replacing(path) as partial:
        partial.write_bytes(content.getvalue())


@torch.no_grad()
def integer_layers(network: FilmNetwork, pictures: PictureSet) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(weight, bias, scale) of each layer, see `Classifier`; ranges are calibrated on pictures in random states."""
    generator = torch.Generator().manual_seed(0)
    upright = upright_pictures(pictures)
    values = in_states(upright, torch.randint(2 * POSES, (len(upright),), generator=generator))
    step = 1 / BRIGHTEST
    layers = []
    folded = network.folded()
    for number, (weight, bias) in enumerate(folded):
        scales = symmetric_scale(weight, BITS, axis=0)
        shape = (-1, *[1] * (weight.ndim - 1))
        integers = quantize(weight, scales.view(shape), 0, *signed_range(BITS))
        whole_bias = torch.round(bias.double() / (scales.double() * step))
        if number < len(folded) - 1:
            values = torch.relu(nn.functional.conv2d(values, weight, bias, stride=2, padding=1))
            after = float(np.quantile(values.numpy(), LARGEST)) / BRIGHTEST
            scale = scales.double() * step / after
            step = after
        else:
            scale = scales.double() * step
        layers.append((integers.to(torch.int8).numpy(), whole_bias.to(torch.int32).numpy(), scale.numpy()))
    return layers
