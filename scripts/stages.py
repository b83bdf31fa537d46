"""From one stage to the next: the weights to start from, the network that stage 2 trains, and the one that ships."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn

from .adapters import compact, with_own_adapters
from .errors import BundleError, CheckpointMismatch
from .parameters import train_only
from .quantization import calibrate, prepare, real_weights, to_integer
from .sam.weights import check_fit, read_weights, save_weights


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


def startable(network: nn.Module, weights: str | Path | None = None) -> nn.Module:
    """Let an adapted network start from any weights of its base: from a plain checkpoint, or a `model.pt` of integers.

    What the integers stand for becomes the frozen base, and the adapters start anew. So training goes on from the model
    in use: from the command line by `weights`, in MONAI Label through the checkpoint that it loads by itself.

    Args:
        network: adapted network, of whose `SAM` the checkpoint is.
        weights: to start from; None leaves the network as it is.
    """
    network.translators = (real_weights, with_own_adapters)
    if weights is not None:
        state = read_weights(weights)
        try:
            network.load_state_dict(state)
        except CheckpointMismatch as error:
            raise CheckpointMismatch(f"{weights}: {error}") from error
    return network


def quantization_aware(
    network: nn.Module, stage1_weights: str | Path, policy: str | Path, trainable: list[str], drop_masked: bool = True
) -> nn.Module:
    """The network of stage 2: stage-1 weights, pruned triplets dropped, fake quantizers put in.

    Args:
        network: adapted network as stage 1 built it.
        stage1_weights: checkpoint of stage 1; its rank masks decide which triplets remain, for good.
        policy: YAML file of the precision policy.
        trainable: globs over parameter names; all others but the activation ranges are frozen.
        drop_masked: False keeps masked triplets, for an allocator to move the masks in stage 2.

    Raises:
        BundleError: there is no such checkpoint, or it or the policy does not fit.
    """
    if not Path(stage1_weights).is_file():
        raise BundleError(f"{stage1_weights}: no weights of stage 1; run stage1 first, or give them as stage1_weights")
    network = load_weights(network, stage1_weights)
    return prepare(train_only(compact(network) if drop_masked else network, trainable), policy)


def quantize_after_training(
    network: nn.Module, data_loader: Iterable, prepare_batch: Callable, batches: int, path: str | Path
) -> None:
    """Post-training quantization: calibrate the network of stage 2 without training it, and save its integers.

    Args:
        network: from `quantization_aware`, on the device to calibrate on.
        data_loader: batches of training images.
        prepare_batch: as of MONAI's engines.
        batches: number of batches to calibrate on.
        path: checkpoint to write, as stage 2 would.
    """
    device = next(network.parameters()).device

    def forward(batch) -> torch.Tensor:
        image, _, args, kwargs = prepare_batch(batch, device)
        return network(image, *args, **kwargs)

    calibrate(network, data_loader, forward, batches)
    save_weights({"model": to_integer(network).state_dict()}, path)
