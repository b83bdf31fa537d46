"""From one stage to the next: the network that stage 2 trains, and the one that ships."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from .adapters import compact
from .parameters import train_only
from .quantization import prepare
from .sam.weights import check_fit, read_weights


def load_weights(network: nn.Module, path: str | Path) -> nn.Module:
    """Load a checkpoint of this bundle into a network of the same build.

    Raises:
        BundleError: the file cannot be read.
        CheckpointMismatch: it does not fit; names file and keys.
    """
    weights = read_weights(path)
    check_fit(network, weights, source=str(path))
    network.load_state_dict(weights)
    return network


def quantization_aware(
    network: nn.Module, stage1_weights: str | Path, policy: str | Path, trainable: list[str]
) -> nn.Module:
    """The network of stage 2: stage-1 weights, pruned triplets dropped, fake quantizers put in.

    Args:
        network: adapted network as stage 1 built it.
        stage1_weights: checkpoint of stage 1; its rank masks decide which triplets remain, for good.
        policy: YAML file of the precision policy.
        trainable: globs over parameter names; all others are frozen.
    """
    network = prepare(compact(load_weights(network, stage1_weights)), policy)
    return train_only(network, trainable)
