"""Fine detail for the mask decoder, past the image encoder."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

STRIDE = 4  # of the decoder's mask logits, in pixels of the input


class DetailPath(nn.Module):
    """Features of stride 4 straight from the image, added to the decoder's upscaled embedding.

    A ViT's tokens of 16 x 16 pixels blur outlines. SAM 2 (Ravi et al. 2024, arXiv 2408.00714) feeds its decoder
    features of strides 4 and 8 from a hierarchical encoder; a plain ViT has none, so a few convolutions make them here.
    The last layer starts at zero: a new path leaves the network as it was.

    Args:
        channels: c of the features.
        embedding: channels of the upscaled embedding.
    """

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.channels = channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(32, channels, 3, padding=1),
        )
        self.fusion = nn.Sequential(
            nn.Conv2d(embedding + channels, 32, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(32, embedding, 3, padding=1),
        )
        nn.init.zeros_(self.fusion[-1].weight)
        nn.init.zeros_(self.fusion[-1].bias)

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """Normalised image B x 3 x S x S -> features B x 16 c x S/16 x S/16, each 4 x 4 block packed into channels."""
        return F.pixel_unshuffle(self.stem(image), STRIDE)

    def forward(self, upscaled: torch.Tensor, packed: torch.Tensor) -> torch.Tensor:
        """Upscaled embedding B x E x S/4 x S/4 with what `encode` returned -> the same shape."""
        return upscaled + self.fusion(torch.cat([upscaled, F.pixel_shuffle(packed, STRIDE)], dim=1))
