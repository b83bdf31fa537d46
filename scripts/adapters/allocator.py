"""The rank allocator: one budget of triplets over all adapted layers together."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..errors import BundleError
from .importance import TripletImportance, update
from .layer import AdaLoRALinear
from .schedule import RankSchedule


class RankAllocator:
    """Scores every triplet at each optimiser step and masks the least important ones (AdaLoRA, algorithm 1).

    A masked triplet keeps its vectors and still receives gradients, so it can return while the budget shrinks; its
    lambda is set to 0 at every renewal. When the schedule ends, the masks are final and lambda stays 0 there.

    Args:
        layers: adapted layers by name; the names key the state dict.
        schedule: rank budget over the steps; its `initial` must be the number of triplets in `layers`.
        beta1, beta2: smoothing of sensitivity and uncertainty (both 0.85 in AdaLoRA).
    """

    def __init__(
        self, layers: Mapping[str, AdaLoRALinear], schedule: RankSchedule, beta1: float = 0.85, beta2: float = 0.85
    ) -> None:
        if not layers:
            raise BundleError("rank allocator: the network has no adapted layers")
        if not (0 < beta1 < 1 and 0 < beta2 < 1):
            raise BundleError(f"importance smoothing must lie between 0 and 1, got {beta1} and {beta2}")
        triplets = sum(sum(layer.ranks) for layer in layers.values())
        if schedule.initial != triplets:
            raise BundleError(f"rank schedule starts from {schedule.initial} triplets, the network has {triplets}")
        self.layers = dict(layers)
        self.schedule = schedule
        self.importance = {name: TripletImportance(layer, beta1, beta2) for name, layer in layers.items()}
        self.steps = 0

    @property
    def budget(self) -> int:
        """Triplets kept by the present masks."""
        return sum(int(layer.rank_mask.sum()) for layer in self.layers.values())

    @property
    def finished(self) -> bool:
        """Whether the masks are final."""
        return self.steps >= self.schedule.frozen_from

    def step(self) -> None:
        """Call after each optimiser step, before the gradients are cleared (unscaled and accumulated by then)."""
        self.steps += 1
        if self.steps < self.schedule.frozen_from:
            self.update_importance()
        if self.schedule.renews(self.steps):
            self.renew_masks(self.scores(), self.schedule.budget(self.steps))
        if self.finished:
            self.clear_masked()

    def update_importance(self) -> None:
        """Take in the values and gradients of an optimiser step."""
        update([part for importance in self.importance.values() for part in importance.parts.values()])

    def scores(self) -> dict[str, torch.Tensor]:
        """Importance of the triplets of each layer, by layer name."""
        return {name: importance.score() for name, importance in self.importance.items()}

    @torch.no_grad()
    def renew_masks(self, scores: Mapping[str, torch.Tensor], budget: int) -> None:
        """Keep the `budget` most important triplets of the whole network by `scores`, one tensor a layer."""
        surplus = self.schedule.initial - budget
        if surplus > 0:
            threshold = torch.cat(list(scores.values())).kthvalue(surplus).values
            for name, layer in self.layers.items():
                layer.rank_mask.copy_(scores[name] > threshold)
        self.clear_masked()

    @torch.no_grad()
    def clear_masked(self) -> None:
        """Set lambda to 0 where a triplet is masked."""
        for layer in self.layers.values():
            layer.adapter_lambda.mul_(layer.rank_mask)

    def state_dict(self) -> dict[str, object]:
        """Steps taken and the running averages, by layer name. The masks live in the layers' own state."""
        averages = {
            f"{name}.{key}": tensor
            for name, importance in self.importance.items()
            for key, tensor in importance.tensors().items()
        }
        return {"steps": self.steps, "averages": averages}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take over what `state_dict` of an allocator for the same layers returned."""
        own = self.state_dict()["averages"]
        if set(own) != set(state["averages"]):
            raise BundleError("rank allocator: the saved state is of a network with other adapted layers")
        for key, tensor in own.items():
            tensor.copy_(state["averages"][key])
        self.steps = int(state["steps"])
