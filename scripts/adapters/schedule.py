"""How the rank budget shrinks over the training steps."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BundleError


@dataclass(frozen=True)
class RankSchedule:
    """Cubic schedule of the rank budget (AdaLoRA, eq. 12).

    The full budget up to step `warmup`, then cubic decay, then the target budget for the last `final` steps, in
    which the masks no longer change.

    Args:
        initial: budget b_0, triplets in the whole network.
        target: budget b_T, in 0..initial.
        total: number of optimiser steps T.
        warmup: steps t_i before the first pruning.
        final: steps t_f at the end with frozen masks.
        interval: masks are renewed every `interval` steps.
    """

    initial: int
    target: int
    total: int
    warmup: int
    final: int
    interval: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.target <= self.initial:
            raise BundleError(
                f"target rank budget must lie in 0..{self.initial} (initial), got {self.target}; "
                "target_rank may be neither negative nor above rank"
            )
        if self.interval < 1 or self.warmup < 0 or self.final < 0:
            raise BundleError("rank schedule: interval must be at least 1, warmup and final not negative")
        if self.warmup + self.final >= self.total:
            raise BundleError(
                f"rank schedule: {self.warmup} warm-up and {self.final} final steps leave nothing of {self.total}"
            )

    @classmethod
    def from_fractions(
        cls, initial: int, target: int, total: int, warmup: float, final: float, interval: int = 1
    ) -> RankSchedule:
        """The same with `warmup` and `final` as fractions of `total`."""
        return cls(initial, target, total, int(warmup * total), int(final * total), interval)

    @property
    def frozen_from(self) -> int:
        """The step whose masks stay."""
        return self.total - self.final

    def budget(self, step: int) -> int:
        """Triplets to keep after optimiser step `step` (the first step is 1)."""
        if step <= self.warmup:
            return self.initial
        if step >= self.frozen_from:
            return self.target
        left = 1 - (step - self.warmup) / (self.frozen_from - self.warmup)
        return int((self.initial - self.target) * left**3 + self.target)

    def renews(self, step: int) -> bool:
        """Whether the masks change after optimiser step `step`."""
        return self.warmup < step < self.frozen_from and step % self.interval == 0 or step == self.frozen_from


class ConstantBudget(RankSchedule):
    """The target budget from the first step on: masks move within it until the last `final` steps."""

    def budget(self, step: int) -> int:
        """Triplets to keep, the same at every step."""
        return self.target
