"""What sites and server exchange: the state that trains, and a header. The frozen base never travels."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ..adapters import adapted_layers
from ..errors import BundleError
from ..files import sha256
from ..quantization import activation_quantizers
from ..sam.weights import constant_keys

ROUND, FROZEN, IMAGES = "federation.round", "federation.frozen", "federation.images"
IMPORTANCE = ".importance"


def exchanged_names(network: nn.Module) -> list[str]:
    """Keys of the state dict of `network` that travel, in its order.

    Parameters that train, the state of all activation quantizers, and the rank masks of adapters whose P and Q train.
    """
    names = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    for name in activation_quantizers(network):
        names |= {f"{name}.low", f"{name}.high", f"{name}.calibrated"}
    for name, layer in adapted_layers(network).items():
        if layer.adapter_P.requires_grad:
            names.add(f"{name}.rank_mask")
    return [name for name in network.state_dict() if name in names]


def exchanged_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of what travels, on the CPU."""
    state = network.state_dict()
    return {name: state[name].detach().cpu().clone() for name in exchanged_names(network)}


def importance_names(network: nn.Module) -> list[str]:
    """Names under which a site sends the importance of its triplets, one tensor for each adapted layer."""
    return [f"{name}{IMPORTANCE}" for name in adapted_layers(network)]


def frozen_fingerprint(network: nn.Module, base_weights: str | Path) -> torch.Tensor:
    """SHA-256, as 32 bytes, of what must be equal at all sites although it does not travel.

    Taken over the file of the base (position tables are resized from it, to rounding that depends on the machine), the
    constants of the build, and in stage 2 the adapters' frozen P and Q.
    """
    digest = hashlib.sha256(sha256(base_weights).encode())
    travelling, constants = set(exchanged_names(network)), set(constant_keys(network))
    for name, value in network.state_dict().items():
        if name in constants or (".adapter_" in name and name not in travelling):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)


def check_exchange(state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], sender: str) -> None:
    """Raise `BundleError` unless `state` has the keys, shapes, types, round and fingerprint of `expected`.

    Args:
        state: what arrived, with its header.
        expected: tensors of the same keys and shapes; the values of round and fingerprint count as well.
        sender: for the message.
    """
    for name in expected:
        if name not in state:
            raise BundleError(f"{sender} sent no {name!r}; all sites need the configs of this federation")
    for name, value in state.items():
        if name not in expected:
            raise BundleError(f"{sender} sent {name!r}, which is not exchanged; all sites need the same configs")
        if value.shape != expected[name].shape or value.dtype != expected[name].dtype:
            raise BundleError(
                f"{sender} sent {name} {tuple(value.shape)} {value.dtype}, expected "
                f"{tuple(expected[name].shape)} {expected[name].dtype}; all sites need the same configs"
            )
        if not torch.isfinite(value).all():
            raise BundleError(f"{sender} sent {name} with values that are not finite; lower its learning rates")
    found, own = (bytes(content[FROZEN].tolist()).hex() for content in (state, expected))
    if found != own:
        raise BundleError(
            f"{sender} has another frozen base (fingerprint {found[:12]}, here {own[:12]}); give all sites the same "
            "base_weights, and in stage 2 the adapters that stage 1 ended with"
        )
    if not torch.equal(state[ROUND], expected[ROUND]):
        raise BundleError(f"{sender} sent round {int(state[ROUND])}, expected {int(expected[ROUND])}")


def to_bytes(state: Mapping[str, torch.Tensor]) -> bytes:
    """Tensors as they travel: `torch.save`, which holds names, types and raw values."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def from_bytes(content: bytes) -> dict[str, torch.Tensor]:
    """What `to_bytes` packed; tensors only, no pickled code."""
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
