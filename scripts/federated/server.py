"""The server's part: a weighted mean, and one rank mask for all sites."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ..adapters import RankAllocator, RankSchedule, adapted_layers
from ..errors import BundleError
from .exchange import (
    FROZEN,
    IMAGES,
    IMPORTANCE,
    ROUND,
    check_exchange,
    exchanged_names,
    exchanged_state,
    frozen_fingerprint,
    importance_names,
)


def weighted_mean(tensors: list[torch.Tensor], weights: list[float]) -> torch.Tensor:
    """Sum of weight times tensor over the sum of weights, taken in double precision."""
    total = sum(weight * tensor.double() for weight, tensor in zip(weights, tensors))
    return (total / sum(weights)).to(tensors[0].dtype)


class Server:
    """Holds the global state and renews it from the sites' updates.

    Parameters and activation ranges become their mean over the sites, weighted by number of images (FedAvg, McMahan et
    al. 2017). P, lambda and Q are averaged each by itself: all sites start a round from the same triplets, so that
    entry k of one site is entry k of the other. Importance is averaged in the same way, and its largest entries over
    all layers, as many as the round's budget, are the rank mask that all sites get.

    Args:
        network: built as the sites build theirs; it holds the global state.
        base_weights: file of the frozen base.
        schedule: rank budget over the rounds; None where masks are final (stage 2).
    """

    def __init__(self, network: nn.Module, base_weights: str | Path, schedule: RankSchedule | None = None) -> None:
        self.network = network
        self.allocator = None if schedule is None else RankAllocator(adapted_layers(network), schedule)
        self.frozen = frozen_fingerprint(network, base_weights)
        self.round = 1  # the one that is to be trained

    def broadcast(self) -> dict[str, torch.Tensor]:
        """What every site gets before it trains or evaluates: the global state and its header."""
        return {**exchanged_state(self.network), ROUND: torch.tensor(self.round), FROZEN: self.frozen}

    def aggregate(self, updates: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
        """End a round with what each site sent.

        Args:
            updates: by name of the site; see `site.ToServer`.

        Raises:
            BundleError: there is none, or one does not fit; names the site.
        """
        if not updates:
            raise BundleError(f"round {self.round}: no site sent an update")
        scored = self.allocator is not None and not self.allocator.finished
        expected = {**self.broadcast(), IMAGES: torch.tensor(0)}
        if scored:
            layers = adapted_layers(self.network).values()
            expected |= dict(zip(importance_names(self.network), (layer.adapter_lambda for layer in layers)))
        for name, update in updates.items():
            check_exchange(update, expected, f"site {name!r}")
            if int(update[IMAGES]) < 1:
                raise BundleError(f"site {name!r} trained on {int(update[IMAGES])} images; leave it out of the round")
        weights = [float(update[IMAGES]) for update in updates.values()]
        state = self.network.state_dict()
        for name in exchanged_names(self.network):
            state[name] = self._agreed(name, updates) if state[name].dtype == torch.bool else self._mean(name, updates)
        self.network.load_state_dict(state)
        if self.allocator is not None:
            self.allocator.steps = self.round
            if self.allocator.schedule.renews(self.round):
                layers = adapted_layers(self.network)
                scores = {n: weighted_mean([u[n + IMPORTANCE] for u in updates.values()], weights) for n in layers}
                self.allocator.renew_masks(scores, self.allocator.schedule.budget(self.round))
        self.round += 1

    def _mean(self, name: str, updates: Mapping[str, Mapping[str, torch.Tensor]]) -> torch.Tensor:
        return weighted_mean([u[name] for u in updates.values()], [float(u[IMAGES]) for u in updates.values()])

    def _agreed(self, name: str, updates: Mapping[str, Mapping[str, torch.Tensor]]) -> torch.Tensor:
        """Rank masks and flags are no quantities: all sites must have the same."""
        (first, value), *others = ((site, update[name]) for site, update in updates.items())
        for site, other in others:
            if not torch.equal(value, other):
                raise BundleError(f"sites {first!r} and {site!r} differ in {name}; it is the server's to decide")
        return value
