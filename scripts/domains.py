"""Adapters as small files: one frozen base, one file for each domain, switched when the network is loaded."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn

from .adapters import AdaLoRALinear, adapted_layers, compact, merge
from .errors import BundleError, CheckpointMismatch
from .files import sha256
from .sam.weights import read_checkpoint, save_weights
from .stages import load_weights

ENTRIES = ("base", "classes", "layers", "parameters")


def pack_domain(network: nn.Module, base_weights: str | Path, stage1_weights: str | Path, path: str | Path) -> None:
    """Write what stage 1 trained, and nothing of the base, in half precision.

    Args:
        network: adapted network as stage 1 built it; it gets the weights of `stage1_weights` and loses its masked
            triplets.
        base_weights: file of the base, of which the hash is kept.
        stage1_weights: checkpoint of stage 1.
        path: file to write.

    Raises:
        BundleError: a parameter is beyond the range of half precision.
    """
    network = compact(load_weights(getattr(network, "module", network), stage1_weights))
    parameters = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            parameters[name] = parameter.detach().cpu().half()
            if not torch.isfinite(parameters[name]).all():
                raise BundleError(f"{stage1_weights}: {name} is beyond the range of half precision")
    layers = {
        name: {"projections": list(layer.projections), "ranks": list(layer.ranks), "scaling": layer.scaling}
        for name, layer in adapted_layers(network).items()
    }
    classes = int(network.mask_decoder.classes)
    content = {"base": sha256(base_weights), "classes": classes, "layers": layers, "parameters": parameters}
    save_weights(content, path)
    size = Path(path).stat().st_size
    count = sum(value.numel() for value in parameters.values())
    logging.getLogger("domain").info("%s: %d parameters, %.0f KB", path, count, size / 1000)


def switch_domain(network: nn.Module, base_weights: str | Path, path: str | Path) -> nn.Module:
    """Give a base model the domain of an adapter file.

    Args:
        network: base model with the weights of `base_weights`, of any image size; changed in place.
        base_weights: file that the base was loaded from.
        path: file from `pack_domain`.

    Returns:
        The network with the adapters merged into its layers.

    Raises:
        BundleError: the file is no adapter, or was trained on another base.
        CheckpointMismatch: it does not fit the network.
    """
    content = read_checkpoint(path)
    missing = [name for name in ENTRIES if name not in content]
    if missing:
        raise BundleError(f"{path}: holds no {missing[0]!r}; an adapter file comes from configs/domain.yaml")
    found = sha256(base_weights)
    if content["base"] != found:
        raise BundleError(
            f"{path}: trained on a base with SHA-256 {content['base']}, but {base_weights} has {found}; "
            "give the base that it was trained on as base_weights"
        )
    classes = int(network.mask_decoder.classes)
    if content["classes"] != classes:  # up to three classes have the same parameters
        raise CheckpointMismatch(f"{path}: trained for {content['classes']} classes, the network has {classes}")
    modules = dict(network.named_modules())
    for name, layer in content["layers"].items():
        linear = modules.get(name)
        if type(linear) is not nn.Linear:
            raise CheckpointMismatch(f"{path}: adapts {name}, which is no linear layer of this network")
        network.set_submodule(name, AdaLoRALinear(linear, **layer))
    own = dict(network.named_parameters())
    with torch.no_grad():
        for name, value in content["parameters"].items():
            if name not in own or own[name].shape != value.shape:
                has = tuple(own[name].shape) if name in own else "no such parameter"
                raise CheckpointMismatch(f"{path}: {name} {tuple(value.shape)}; the network has {has}")
            own[name].copy_(value)
    return merge(network)
