"""Segment Anything as a MONAI network: image in, logits out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional as F

from .image_encoder import ImageEncoder
from .mask_decoder import ClassMaskDecoder
from .modeling import PromptEncoder
from .weights import check_fit

# Channel statistics of SAM's training images (segment_anything/build_sam.py), on the 0..255 scale.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


class SAM(nn.Module):
    """Promptable segmenter with the parameter names of official SAM checkpoints.

    Args:
        image_encoder: embeds a normalised B x 3 x S x S image as B x D x S/16 x S/16.
        prompt_encoder: embeds boxes in pixels of the S x S input.
        mask_decoder: turns embedding and prompt into B x C x S/4 x S/4 logits.
    """

    def __init__(
        self, image_encoder: ImageEncoder, prompt_encoder: PromptEncoder, mask_decoder: ClassMaskDecoder
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.translators: tuple[Callable[[nn.Module, Mapping], Mapping], ...] = ()  # see `load_state_dict`
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN).view(3, 1, 1) / 255, persistent=False)
        self.register_buffer("pixel_std", torch.tensor(PIXEL_STD).view(3, 1, 1) / 255, persistent=False)
        self._freeze_unused()

    @property
    def image_size(self) -> int:
        """Side S of the square input in pixels."""
        return self.image_encoder.img_size

    def _freeze_unused(self) -> None:
        """Parameters outside the graph of box prompts never get a gradient: they are not counted as trainable."""
        prompt = self.prompt_encoder
        unused = [prompt.mask_downscaling, prompt.not_a_point_embed, *prompt.point_embeddings[:2]]
        for module in [*unused, *self.mask_decoder.unused_modules()]:
            module.requires_grad_(False)

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """Embed images.

        Args:
            image: B x 1|3 x S x S in [0, 1].

        Returns:
            B x D x S/16 x S/16 embedding; with a detail path of c channels B x (D + 16 c) x S/16 x S/16.
        """
        if image.ndim != 4 or image.shape[1] not in (1, 3) or image.shape[2:] != (self.image_size,) * 2:
            side, shape = self.image_size, " x ".join(map(str, image.shape))
            raise ValueError(f"image must be B x 1|3 x {side} x {side}, got {shape}")
        # A subclass such as MONAI's MetaTensor would intercept every operation; what the compiler traces with stays.
        if type(image) is not torch.Tensor and not torch.compiler.is_compiling():
            image = image.as_subclass(torch.Tensor)
        image = (image - self.pixel_mean) / self.pixel_std
        embedding = self.image_encoder(image)
        detail = self.mask_decoder.detail
        return embedding if detail is None else torch.cat([embedding, detail.encode(image)], dim=1)

    def full_image_box(self, batch: int, device: torch.device) -> torch.Tensor:
        """The prompt box of the whole image, repeated: B x 4."""
        box = torch.tensor([[0.0, 0.0, self.image_size, self.image_size]], device=device)
        return box.expand(batch, 4)

    def decode(self, embedding: torch.Tensor, boxes: torch.Tensor | None = None) -> torch.Tensor:
        """Decode embeddings with prompt boxes.

        Args:
            embedding: B x D x h x w from `encode`; B = 1 serves any number of boxes.
            boxes: N x 4 prompt boxes [x0, y0, x1, y1] in pixels of the network's input; N = B unless B = 1.
                None stands for the whole image.

        Returns:
            N x C x S x S logits.
        """
        if boxes is None:
            boxes = self.full_image_box(embedding.shape[0], embedding.device)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or embedding.shape[0] not in (1, boxes.shape[0]):
            raise ValueError(f"{embedding.shape[0]} embeddings need as many x 4 boxes, got {tuple(boxes.shape)}")
        sparse, dense = self.prompt_encoder(points=None, boxes=boxes, masks=None)
        low_resolution = self.mask_decoder(
            embedding.expand(boxes.shape[0], -1, -1, -1), self.prompt_encoder.get_dense_pe(), sparse, dense
        )
        return F.interpolate(low_resolution, (self.image_size,) * 2, mode="bilinear", align_corners=False)

    def forward(self, image: torch.Tensor, boxes: torch.Tensor | None = None) -> torch.Tensor:
        """Segment images.

        Args:
            image: B x 1|3 x S x S in [0, 1].
            boxes: B x 4 prompt boxes [x0, y0, x1, y1] in pixels of the input; None stands for the whole image.

        Returns:
            B x C x S x S logits.
        """
        return self.decode(self.encode(image), boxes)

    def load_state_dict(self, state_dict: Mapping, strict: bool = True, assign: bool = False):
        """Load weights, all of them: a checkpoint that does not fit raises `CheckpointMismatch`.

        MONAI Label and other hosts load with ``strict=False``, where differing keys give a network with random
        weights and no error; so `strict` is not honoured here. `self.translators` are functions of network and state
        dict that bring checkpoints of other layouts into this network's.
        """
        for translate in self.translators:
            state_dict = translate(self, state_dict)
        check_fit(self, state_dict)
        return super().load_state_dict(state_dict, strict=True, assign=assign)
