"""The base models by name, and how they are built."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from ..errors import BundleError
from .image_encoder import ImageEncoder
from .mask_decoder import ClassMaskDecoder
from .modeling import PromptEncoder, TwoWayTransformer
from .network import SAM
from .weights import load_base_weights

PATCH_SIZE = 16
SAM_WINDOW = 14


@dataclass(frozen=True)
class Architecture:
    """Widths and depths of a base model.

    Args:
        embed_dim, depth, num_heads: of the ViT.
        global_attn_indexes: blocks that attend over the whole image; the others attend within windows.
        prompt_dim: width D of embedding, prompts and decoder.
        decoder_heads, decoder_mlp_dim: of the decoder's two-way transformer.
        decoder_head_hidden: hidden width of the mask quality head.
        detail_channels: channels of the `DetailPath` that brings fine structure past the ViT; 0 for none.
    """

    embed_dim: int
    depth: int
    num_heads: int
    global_attn_indexes: tuple[int, ...]
    prompt_dim: int = 256
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    decoder_head_hidden: int = 256
    detail_channels: int = 0


# vit_b, vit_l and vit_h: segment_anything/build_sam.py. vit_ti: DeiT-Ti's width (Touvron et al. 2021), compact decoder,
# detail path.
ARCHITECTURES = {
    "vit_ti": Architecture(
        192, 6, 3, (2, 5), prompt_dim=128, decoder_mlp_dim=512, decoder_head_hidden=128, detail_channels=8
    ),
    "vit_b": Architecture(768, 12, 12, (2, 5, 8, 11)),
    "vit_l": Architecture(1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": Architecture(1280, 32, 16, (7, 15, 23, 31)),
}


def dividing_window(grid: int) -> int:
    """The window nearest to SAM's 14 that divides a grid x grid token map, so that no window is padded.

    SAM pads the map to multiples of 14: 16 x 16 tokens become 28 x 28, which is 3.06 times the work. Windows below 7
    see too little and are not taken: a prime grid gets one window of its own size.
    """
    divisors = [window for window in range(min(7, grid), grid + 1) if grid % window == 0]
    return min(divisors, key=lambda window: (abs(window - SAM_WINDOW), window))


def check_window(window: int, grid: int) -> None:
    """Raise `BundleError` unless `window` divides the grid or is SAM's own 14, which pads as SAM does."""
    if window != SAM_WINDOW and (window < 1 or grid % window):
        divisors = [str(divisor) for divisor in range(1, grid + 1) if grid % divisor == 0]
        raise BundleError(
            f"window_size {window} does not divide the {grid} x {grid} token grid of a {grid * PATCH_SIZE} px image; "
            f"take one of {', '.join(divisors)}, or null for {dividing_window(grid)}"
        )


def build_sam(
    architecture: str | Architecture,
    image_size: int = 1024,
    out_channels: int = 1,
    window_size: int | None = None,
    gradient_checkpointing: bool = False,
    weights: str | Path | None = None,
) -> SAM:
    """Build a base model.

    Args:
        architecture: a name in `ARCHITECTURES`, or an `Architecture`.
        image_size: side S of the square input in pixels, a multiple of 16.
        out_channels: number of class channels C.
        window_size: tokens along a window's side, a divisor of the grid of image_size / 16 tokens; None takes
            `dividing_window`. 14 is SAM's own and is padded as SAM does where it does not divide the grid.
        gradient_checkpointing: recompute encoder activations in the backward pass to save memory.
        weights: checkpoint to load with `load_base_weights`; None leaves random weights.

    Raises:
        BundleError: unknown architecture, an image size that is not a positive multiple of 16, or a window that
            does not divide the grid.
    """
    if isinstance(architecture, str):
        if architecture not in ARCHITECTURES:
            raise BundleError(f"unknown architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}")
        architecture = ARCHITECTURES[architecture]
    if image_size <= 0 or image_size % PATCH_SIZE:
        raise BundleError(f"image_size must be a positive multiple of {PATCH_SIZE}, got {image_size}")
    grid = image_size // PATCH_SIZE
    if window_size is None:
        window_size = dividing_window(grid)
    check_window(window_size, grid)
    network = SAM(
        ImageEncoder(
            gradient_checkpointing=gradient_checkpointing,
            img_size=image_size,
            patch_size=PATCH_SIZE,
            embed_dim=architecture.embed_dim,
            depth=architecture.depth,
            num_heads=architecture.num_heads,
            mlp_ratio=4,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            qkv_bias=True,
            use_rel_pos=True,
            window_size=window_size,
            global_attn_indexes=architecture.global_attn_indexes,
            out_chans=architecture.prompt_dim,
        ),
        PromptEncoder(
            embed_dim=architecture.prompt_dim,
            image_embedding_size=(grid, grid),
            input_image_size=(image_size, image_size),
            mask_in_chans=16,
        ),
        ClassMaskDecoder(
            out_channels=out_channels,
            detail_channels=architecture.detail_channels,
            transformer_dim=architecture.prompt_dim,
            transformer=TwoWayTransformer(
                depth=2,
                embedding_dim=architecture.prompt_dim,
                mlp_dim=architecture.decoder_mlp_dim,
                num_heads=architecture.decoder_heads,
            ),
            iou_head_depth=3,
            iou_head_hidden_dim=architecture.decoder_head_hidden,
        ),
    )
    if weights is not None:
        return load_base_weights(network, weights)
    with torch.no_grad():
        # SAM leaves its position table at zero for a checkpoint to fill; training from scratch needs it to break
        # the symmetry between tokens (as in ViT).
        nn.init.trunc_normal_(network.image_encoder.pos_embed, std=0.02)
    return network
