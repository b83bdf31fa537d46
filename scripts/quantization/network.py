"""Fake quantization of a whole network: prepare, then calibrate."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from ..errors import BundleError
from .fake_quantizers import ActivationFakeQuantizer
from .layers import QUANTIZABLE, FakeQuantizedLayer
from .observers import MinMaxObserver, PercentileObserver
from .policy import Precision, PrecisionPolicy


def quantized_layers(network: nn.Module) -> dict[str, FakeQuantizedLayer]:
    """The fake-quantized layers of `network` by module name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, FakeQuantizedLayer)}


def activation_quantizers(network: nn.Module) -> dict[str, ActivationFakeQuantizer]:
    """The activation quantizers of `network` by module name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, ActivationFakeQuantizer)}


def check_policy(network: nn.Module, policy: PrecisionPolicy | Sequence | str | Path) -> dict[str, Precision]:
    """The precision that `policy` gives each linear and convolution layer of `network`, which is left as it is.

    Args:
        network: plain or adapted network.
        policy: a policy, its rules, or the YAML file that holds them.

    Raises:
        BundleError: the policy does not fit the network.
    """
    if isinstance(policy, (str, Path)):
        policy = PrecisionPolicy.from_file(policy)
    elif not isinstance(policy, PrecisionPolicy):
        policy = PrecisionPolicy(policy)
    return policy.resolve(name for name, module in network.named_modules() if isinstance(module, QUANTIZABLE))


def prepare(network: nn.Module, policy: PrecisionPolicy | Sequence | str | Path) -> nn.Module:
    """Wrap every linear and convolution layer as the policy says. Changes `network` in place.

    Weights are fake-quantized at once, activations from calibration on.

    Args:
        network: plain or adapted network.
        policy: see `check_policy`.

    Raises:
        BundleError: the policy does not fit the network, or the network is quantized already.
    """
    if quantized_layers(network):
        raise BundleError("the network is already fake-quantized")
    for name, precision in check_policy(network, policy).items():
        if precision.quantized:
            network.set_submodule(name, FakeQuantizedLayer(network.get_submodule(name), precision))
    return network


@torch.no_grad()
def calibrate(
    network: nn.Module, batches: Iterable, forward: Callable, count: int, percentile: float | None = 99.99
) -> None:
    """Set the range of every activation quantizer that data reach, and switch it on.

    Args:
        network: prepared network; it is put into evaluation mode and back.
        batches: data loader or list.
        forward: called with each batch; must run `network` on it.
        count: number of batches to use.
        percentile: of the range's high end (see `PercentileObserver`); None takes minimum and maximum.

    Raises:
        BundleError: there is no batch.
    """
    quantizers = activation_quantizers(network)
    for quantizer in quantizers.values():
        quantizer.start_observing(MinMaxObserver() if percentile is None else PercentileObserver(percentile))
    was_training = network.training
    network.eval()
    seen = 0
    try:
        for batch in islice(batches, count):
            forward(batch)
            seen += 1
        if seen == 0:
            raise BundleError("calibration got no batch; check the training data and calibration batches")
    except Exception:
        for quantizer in quantizers.values():
            quantizer.observer = None
        raise
    finally:
        network.train(was_training)
    idle = [name for name, quantizer in quantizers.items() if quantizer.observer.low is None]
    # Layers outside the graph of box prompts (mask prompts, the quality head) see no data and stay floating point.
    for name, quantizer in quantizers.items():
        if name in idle:
            quantizer.observer = None
            quantizer.requires_grad_(False)
        else:
            quantizer.finish_observing()
    logging.getLogger("quantization").info(
        "calibrated %d activation ranges on %d batches; %d belong to layers that take no part",
        len(quantizers) - len(idle),
        seen,
        len(idle),
    )
