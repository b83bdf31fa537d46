"""What several test files build on: a narrow Segment Anything, ours and the official one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from scripts.adapters import adapt
from scripts.sam import Architecture, build_sam
from scripts.sam.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer
from scripts.sam.weights import constant_keys

ROOT = Path(__file__).parents[1]
QKV = {"image_encoder.blocks.*.attn.qkv": ["q", "k", "v"]}
NARROW = Architecture(32, 2, 2, (1,), prompt_dim=32, decoder_heads=4, decoder_mlp_dim=64, decoder_head_hidden=32)


def randomize(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random parameters everywhere: SAM leaves relative positions at zero, which would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return network.eval()


def sam_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """State dict of a base model with the keys of segment-anything's own, which knows no constants."""
    constants = constant_keys(network)
    return {key: value for key, value in network.state_dict().items() if key not in constants}


def official(image_size: int, architecture: Architecture = NARROW, window_size: int = 14) -> nn.ModuleDict:
    """The components as segment_anything/build_sam.py puts them together."""
    grid = image_size // 16
    return nn.ModuleDict(
        {
            "image_encoder": ImageEncoderViT(
                depth=architecture.depth,
                embed_dim=architecture.embed_dim,
                img_size=image_size,
                mlp_ratio=4,
                norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
                num_heads=architecture.num_heads,
                patch_size=16,
                qkv_bias=True,
                use_rel_pos=True,
                global_attn_indexes=architecture.global_attn_indexes,
                window_size=window_size,
                out_chans=architecture.prompt_dim,
            ),
            "prompt_encoder": PromptEncoder(
                embed_dim=architecture.prompt_dim,
                image_embedding_size=(grid, grid),
                input_image_size=(image_size, image_size),
                mask_in_chans=16,
            ),
            "mask_decoder": MaskDecoder(
                num_multimask_outputs=3,
                transformer=TwoWayTransformer(
                    depth=2,
                    embedding_dim=architecture.prompt_dim,
                    mlp_dim=architecture.decoder_mlp_dim,
                    num_heads=architecture.decoder_heads,
                ),
                transformer_dim=architecture.prompt_dim,
                iou_head_depth=3,
                iou_head_hidden_dim=architecture.decoder_head_hidden,
            ),
        }
    ).eval()


def small_sam(rank: int = 4) -> nn.Module:
    """An adapted network of 64 x 64 pixels, two blocks with rank triplets in each of q, k and v."""
    torch.manual_seed(0)
    return adapt(build_sam(NARROW, 64), QKV, rank=rank, alpha=8)


@contextmanager
def mounted(disk: Path, options: str) -> Iterator[Callable[[str], None]]:
    """A file system in memory at `disk`; yields what mounts it again with other options."""
    disk.mkdir()

    def mount(options: str) -> None:
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk]
        made = subprocess.run(words, capture_output=True, text=True)
        if made.returncode and "remount" not in options:
            pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
        assert made.returncode == 0, made.stderr

    mount(options)
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    with mounted(tmp_path / "disk", "size=1m"):
        yield tmp_path / "disk"
