"""What a round exchanges, in bytes, for a network that need not be trained for it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from torch import nn

from ..adapters import adapted_layers, compact
from ..parameters import count, train_only
from ..quantization import prepare
from .exchange import FROZEN, IMAGES, ROUND, exchanged_state, importance_names, to_bytes


def prune_evenly(network: nn.Module, rank: int) -> nn.Module:
    """A copy of an adapted network without all but `rank` triplets of each projection."""
    pruned = copy.deepcopy(network)
    for layer in adapted_layers(pruned).values():
        for triplets in layer.slices():
            layer.rank_mask[triplets.start + rank : triplets.stop] = False
    return compact(pruned)


def exchange_sizes(stage1: nn.Module, stage2: nn.Module, base: nn.Module) -> dict[str, int]:
    """Bytes of the messages of one site in one round, and the scalars in them.

    Args:
        stage1, stage2: networks as the stages train them.
        base: the network without adapters; its whole state dict is what full fine-tuning exchanges.
    """
    down = {ROUND: torch.tensor(1), FROZEN: torch.zeros(32, dtype=torch.uint8)}
    up = {**down, IMAGES: torch.tensor(1)}
    layers = adapted_layers(stage1).values()
    importance = dict(zip(importance_names(stage1), (layer.adapter_lambda.detach() for layer in layers)))
    first, second = exchanged_state(stage1), exchanged_state(stage2)
    messages = {
        "stage 1, down": {**first, **down},
        "stage 1, up": {**first, **importance, **up},
        "stage 2, down": {**second, **down},
        "stage 2, up": {**second, **up},
        "full fine-tuning, each way": base.state_dict(),
    }
    return {name: len(to_bytes(message)) for name, message in messages.items()}


def print_sizes(overlays: Sequence[str], bundle_root: str | Path) -> dict[str, int]:
    """Print `exchange_sizes` of the network of train.yaml with `overlays`, random in place of trained weights.

    Which layers keep their triplets is known only after training, so those of stage 2 are taken to be spread evenly.

    Args:
        overlays: names in configs/.
        bundle_root: folder of the bundle.
    """
    parser = ConfigParser()
    parser.read_config([str(Path(bundle_root) / "configs" / name) for name in ("train.yaml", *overlays)])
    parser.update({"bundle_root": str(bundle_root), "base_weights": None})
    stage1, base = (parser.get_parsed_content(name) for name in ("network_def", "network_def::network"))
    names = ("target_rank", "qat::network_def::trainable", "policy")
    rank, trainable, policy = (parser.get_parsed_content(name) for name in names)
    stage2 = prepare(train_only(prune_evenly(stage1, rank), trainable), policy)
    sizes = exchange_sizes(stage1, stage2, base)
    full = sizes["full fine-tuning, each way"]
    print(f"{parser.get_parsed_content('architecture')}, {count(base.parameters()):,} parameters without adapters")
    for name, size in sizes.items():
        print(f"{name:<28}{size:>14,} bytes{full / size:>8.1f} x less")
    return sizes
