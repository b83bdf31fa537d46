"""Observers: the range of an activation over calibration batches."""

from __future__ import annotations

import torch
from torch import distributed

from ..errors import BundleError


def of_all_processes(values: torch.Tensor) -> torch.Tensor:
    """`values` of every process of a distributed run, one after the other; each must hold equally many."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return values
    shares = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
    distributed.all_gather(shares, values.contiguous())
    return torch.cat(shares)


class MinMaxObserver:
    """Smallest and largest value over all batches. Processes that share the batches observe together."""

    def __init__(self) -> None:
        self.low: torch.Tensor | None = None
        self.high: torch.Tensor | None = None

    @torch.no_grad()
    def observe(self, x: torch.Tensor) -> None:
        """Take in a batch of any shape."""
        low, high = of_all_processes(torch.stack(x.aminmax())).view(-1, 2).T
        low, high = low.min(), high.max()
        self.low = low if self.low is None else torch.minimum(self.low, low)
        self.high = high if self.high is None else torch.maximum(self.high, high)

    def range(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Low and high, scalars."""
        if self.low is None or self.high is None:
            raise BundleError("the observer has seen no batch; calibrate on at least one image")
        return self.low, self.high


class PercentileObserver(MinMaxObserver):
    """Mean over the batches of a low and a high percentile: a few outliers do not stretch the range.

    Args:
        percentile: of the high end, in 50..100; the low end is 100 - percentile.
        sample: at most this many evenly spaced values of a batch in each process are sorted.
    """

    def __init__(self, percentile: float = 99.99, sample: int = 1_000_000) -> None:
        super().__init__()
        if not 50 < percentile <= 100:
            raise BundleError(f"calibration percentile must lie in 50..100, got {percentile}")
        self.quantile = percentile / 100
        self.sample = sample
        self.batches = 0

    @torch.no_grad()
    def observe(self, x: torch.Tensor) -> None:
        """Take in a batch of any shape."""
        values = x.detach().float().flatten()
        values = of_all_processes(values[:: -(-len(values) // self.sample)]).sort().values
        last = len(values) - 1
        low, high = values[round((1 - self.quantile) * last)], values[round(self.quantile * last)]
        self.batches += 1
        if self.low is None or self.high is None:
            self.low, self.high = low.clone(), high.clone()
        else:
            self.low += (low - self.low) / self.batches
            self.high += (high - self.high) / self.batches
