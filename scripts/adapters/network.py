"""Adapters in a whole network: put in by glob, read, merged, compacted."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from ..errors import BundleError
from .layer import AdaLoRALinear


def adapted_layers(network: nn.Module) -> dict[str, AdaLoRALinear]:
    """The adapted layers of `network` by module name, in network order."""
    return {name: module for name, module in network.named_modules() if isinstance(module, AdaLoRALinear)}


def adapt(
    network: nn.Module,
    targets: Mapping[str, Sequence[str | None]],
    rank: int,
    alpha: float,
    freeze: Sequence[str] = ("image_encoder.*",),
) -> nn.Module:
    """Freeze the base and put adapters into the linear layers that `targets` names.

    Args:
        network: base model, changed in place.
        targets: glob over module names -> names of the projections stacked in that layer's output, for example
            {"image_encoder.blocks.*.attn.qkv": [q, k, v]}; null in place of a name leaves that projection alone.
        rank: initial rank r of every projection.
        alpha: dW is scaled by alpha / rank.
        freeze: globs over parameter names that are frozen; adapters are trained whatever these say.

    Raises:
        BundleError: rank below 1, a glob that matches nothing, or a target that is no linear layer.
    """
    if rank < 1:
        raise BundleError(f"adapter rank must be at least 1, got {rank}")
    for pattern in freeze:
        matched = [parameter for name, parameter in network.named_parameters() if fnmatchcase(name, pattern)]
        if not matched:
            raise BundleError(f"freeze: the glob {pattern!r} matches no parameter")
        for parameter in matched:
            parameter.requires_grad_(False)
    for pattern, projections in targets.items():
        matched = [name for name, _ in network.named_modules() if fnmatchcase(name, pattern)]
        if not matched:
            raise BundleError(f"adapter targets: the glob {pattern!r} matches no module")
        for name in matched:
            module = network.get_submodule(name)
            if type(module) is not nn.Linear:
                raise BundleError(f"adapter targets: {name} is a {type(module).__name__}, not a plain linear layer")
            if rank > min(module.in_features, module.out_features // len(projections)):
                raise BundleError(f"adapter rank {rank} is more than {name} has dimensions")
            network.set_submodule(name, AdaLoRALinear(module, projections, rank, alpha / rank))
    return network


def with_own_adapters(network: nn.Module, state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict without adapters, completed by those that `network` has: its base alone comes from elsewhere."""
    completed = dict(state_dict)
    for name, layer in adapted_layers(network).items():
        own = {f"{name}.{key}": value for key, value in layer.state_dict().items() if key not in ("weight", "bias")}
        if not own.keys() & state_dict.keys():
            completed |= own
    return completed


def compact(network: nn.Module) -> nn.Module:
    """Drop masked triplets for good: adapters of the ranks that the allocator left. Changes `network` in place."""
    for name, layer in adapted_layers(network).items():
        network.set_submodule(name, layer.compact())
    return network


def merge(network: nn.Module) -> nn.Module:
    """A copy of `network` whose adapters are merged into plain linear layers."""
    merged = copy.deepcopy(network)
    for name, layer in adapted_layers(merged).items():
        merged.set_submodule(name, layer.merge())
    return merged


def rank_budget(network: nn.Module, rank: int | None = None) -> int:
    """Triplets in the whole network: those there are, or `rank` in every adapted projection."""
    layers = adapted_layers(network).values()
    return sum(held if rank is None else rank for layer in layers for held in layer.ranks if held)


def rank_pattern(network: nn.Module) -> dict[str, object]:
    """{"budget": all kept triplets, "ranks": {"module.projection": rank}} of an adapted network."""
    ranks = {}
    for name, layer in adapted_layers(network).items():
        for projection, triplets in zip(layer.projections, layer.slices()):
            if projection is not None:
                ranks[f"{name}.{projection}"] = int(layer.rank_mask[triplets].sum())
    return {"budget": sum(ranks.values()), "ranks": ranks}
