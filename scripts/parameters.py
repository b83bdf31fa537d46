"""Which parameters train, at which learning rate, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from .adapters import adapted_layers, rank_budget
from .errors import BundleError


def train_only(network: nn.Module, patterns: Sequence[str]) -> nn.Module:
    """Freeze every parameter but the trainable ones that a glob in `patterns` matches.

    Parameters that are frozen already stay frozen. Changes `network` in place.

    Raises:
        BundleError: a glob matches no parameter.
    """
    names = [name for name, _ in network.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise BundleError(f"trainable parameters: the glob {pattern!r} matches none")
    for name, parameter in network.named_parameters():
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            parameter.requires_grad_(False)
    return network


def parameter_groups(network: nn.Module, groups: Sequence[Mapping[str, object]]) -> list[dict]:
    """Optimiser groups of the trainable parameters.

    Args:
        network: trained network; a DistributedDataParallel wrapper is looked through.
        groups: each with "patterns" (globs over parameter names) and optimiser options such as lr; one with a true
            "optional" may match nothing. A parameter belongs to the first group that matches.

    Raises:
        BundleError: a trainable parameter that no group matches, or a group without any that is not optional.
    """
    network = getattr(network, "module", network)
    members: list[list[nn.Parameter]] = [[] for _ in groups]
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        matching = [i for i, group in enumerate(groups) if any(fnmatchcase(name, p) for p in group["patterns"])]
        if not matching:
            raise BundleError(f"optimiser groups: no group matches the trainable parameter {name}")
        members[matching[0]].append(parameter)
    filled = []
    for group, parameters in zip(groups, members):
        if parameters:
            options = {key: value for key, value in group.items() if key not in ("patterns", "optional")}
            filled.append(dict(options, params=parameters))
        elif not group.get("optional", False):
            raise BundleError(f"optimiser groups: {group['patterns']} match no trainable parameter")
    return filled


def count(parameters) -> int:
    """Number of scalars in `parameters`."""
    return sum(parameter.numel() for parameter in parameters)


def parameter_counts(network: nn.Module) -> dict[str, int]:
    """All parameters of a network, those that train, and those that train if masked triplets are dropped.

    A DistributedDataParallel wrapper is looked through.
    """
    network = getattr(network, "module", network)
    trainable = count(p for p in network.parameters() if p.requires_grad)
    masked = 0
    for layer in adapted_layers(network).values():
        dropped = int((~layer.rank_mask).sum())
        parameters = (layer.adapter_P, layer.adapter_lambda, layer.adapter_Q)
        masked += sum(dropped * p.numel() // max(1, len(layer.rank_mask)) for p in parameters if p.requires_grad)
    return {"all": count(network.parameters()), "trainable": trainable, "trainable_pruned": trainable - masked}


def parameter_account(network: nn.Module, target_budget: int) -> dict[str, float]:
    """Account of an adapted network's parameters.

    Args:
        network: adapted network, before training.
        target_budget: triplets that the allocator leaves. Which layers keep them is known only after training, so
            the adapters' size after pruning assumes that the budget is spread evenly.

    Returns:
        Counts: base (all parameters without adapters), adapters and trainable at the start, adapters_pruned and
        trainable_pruned at the end, and ratio = base / trainable_pruned.
    """
    layers = adapted_layers(network)
    triplets = sum(sum(layer.ranks) for layer in layers.values())
    adapters = count(p for name, p in network.named_parameters() if ".adapter_" in name)
    trainable = count(p for p in network.parameters() if p.requires_grad)
    adapters_pruned = round(adapters * target_budget / triplets)
    base = count(network.parameters()) - adapters
    trainable_pruned = trainable - adapters + adapters_pruned
    return {
        "base": base,
        "triplets": triplets,
        "triplets_pruned": target_budget,
        "adapters": adapters,
        "adapters_pruned": adapters_pruned,
        "trainable": trainable,
        "trainable_pruned": trainable_pruned,
        "ratio": base / trainable,
        "ratio_pruned": base / trainable_pruned,
    }


def print_account(network: nn.Module, target_rank: int) -> dict[str, float]:
    """Print `parameter_account` for a target rank a projection as a table, and return it."""
    account = parameter_account(network, rank_budget(network, target_rank))
    rows = [
        ("base model, all parameters", f"{account['base']:,}"),
        ("adapters, initial", f"{account['adapters']:,} in {account['triplets']} triplets"),
        ("adapters, pruned to the target budget", f"{account['adapters_pruned']:,} in {account['triplets_pruned']}"),
        ("trainable, initial", f"{account['trainable']:,}"),
        ("trainable, pruned", f"{account['trainable_pruned']:,}"),
        ("base / trainable, initial", f"{account['ratio']:.2f} x"),
        ("base / trainable, pruned", f"{account['ratio_pruned']:.2f} x"),
    ]
    print("\n".join(f"{name:<40}{value:>28}" for name, value in rows))
    return account
