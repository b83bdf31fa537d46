"""SAM's ViT image encoder with gradient checkpointing."""

from __future__ import annotations

import torch
from torch.utils.checkpoint import checkpoint

from .modeling import ImageEncoderViT


class ImageEncoder(ImageEncoderViT):
    """`ImageEncoderViT` that can trade compute for memory.

    Args:
        gradient_checkpointing: recompute each block's activations in the backward pass instead of keeping them.
        kwargs: arguments of `segment_anything.modeling.ImageEncoderViT`.
    """

    def __init__(self, gradient_checkpointing: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.gradient_checkpointing = gradient_checkpointing

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed images: B x 3 x H x W -> B x out_chans x H/patch x W/patch."""
        x = self.patch_embed(x)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        for block in self.blocks:
            if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))
