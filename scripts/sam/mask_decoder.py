"""SAM's mask decoder for a batch of images and for class channels."""

from __future__ import annotations

import torch
from torch import nn

from .detail import DetailPath
from .modeling import MaskDecoder


class ClassMaskDecoder(MaskDecoder):
    """`MaskDecoder` that pairs embeddings with prompts one to one and decodes class channels.

    SAM's decoder repeats every embedding for every prompt, so a batch of images needs a loop; here row i of the
    embeddings is decoded with row i of the prompts in one pass. One class uses SAM's single-mask token (index 0);
    C > 1 classes use its multi-mask tokens 1..C as class channels.

    Attributes:
        detail: the detail path, or None.
        classes: C, kept in checkpoints: 1, 2 and 3 classes have the same parameters.

    Args:
        out_channels: number of class channels C, at least 1.
        detail_channels: channels c of a `DetailPath`; 0 builds none, as official checkpoints have none.
        kwargs: arguments of `segment_anything.modeling.MaskDecoder`.
    """

    constants = ("classes",)

    def __init__(self, out_channels: int = 1, detail_channels: int = 0, **kwargs) -> None:
        if out_channels < 1:
            raise ValueError(f"out_channels must be at least 1, got {out_channels}")
        super().__init__(num_multimask_outputs=max(3, out_channels), **kwargs)
        self.register_buffer("classes", torch.tensor(out_channels))
        self.detail = DetailPath(detail_channels, self.transformer_dim // 8) if detail_channels else None
        self.class_tokens = range(1) if out_channels == 1 else range(1, out_channels + 1)

    def predict_masks(
        self,
        image_embeddings: torch.Tensor,
        image_pe: torch.Tensor,
        sparse_prompt_embeddings: torch.Tensor,
        dense_prompt_embeddings: torch.Tensor,
    ) -> torch.Tensor:
        """Mask logits of every class token.

        Args:
            image_embeddings: B x D x h x w, or B x (D + 16 c) x h x w with the features of the detail path behind.
            image_pe: 1 x D x h x w positional encoding.
            sparse_prompt_embeddings: B x N x D.
            dense_prompt_embeddings: B x D x h x w.

        Returns:
            B x C x 4h x 4w logits.
        """
        if self.detail is not None:
            image_embeddings, packed = image_embeddings.tensor_split([self.transformer_dim], dim=1)
        batch, dim, height, width = image_embeddings.shape
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight], dim=0)
        output_tokens = output_tokens.unsqueeze(0).expand(batch, -1, -1)
        tokens = torch.cat((output_tokens, sparse_prompt_embeddings), dim=1)

        src = image_embeddings + dense_prompt_embeddings
        hidden, src = self.transformer(src, image_pe.expand(batch, -1, -1, -1), tokens)

        upscaled = self.output_upscaling(src.transpose(1, 2).reshape(batch, dim, height, width))
        if self.detail is not None:
            upscaled = self.detail(upscaled, packed)
        kernels = torch.stack(
            [self.output_hypernetworks_mlps[token](hidden[:, 1 + token]) for token in self.class_tokens], dim=1
        )
        return (kernels @ upscaled.flatten(2)).unflatten(2, upscaled.shape[2:])

    forward = predict_masks

    def unused_modules(self) -> list[nn.Module]:
        """Parts of SAM's decoder that take no part in `forward`; kept so that official checkpoints fit."""
        heads = [mlp for i, mlp in enumerate(self.output_hypernetworks_mlps) if i not in self.class_tokens]
        return [self.iou_prediction_head, *heads]
