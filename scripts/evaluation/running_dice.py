"""Mean Dice of an evaluation, kept as two numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce
from monai.metrics import compute_dice


class RunningDice(Metric):
    """What MONAI's `MeanDice` gives, for long evaluations: that one keeps tensors of every image until the end.

    Takes (predictions, labels), lists of C x H x W zeros and ones. A class that its label lacks does not count, nor
    does an image with an empty label; NaN if no image counts.
    """

    @reinit__is_reduced
    def reset(self) -> None:
        self._sum, self._count = 0.0, 0

    @reinit__is_reduced
    def update(self, output: tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]) -> None:
        for prediction, label in zip(*output, strict=True):
            dice = compute_dice(torch.as_tensor(prediction)[None].float(), torch.as_tensor(label)[None].float())
            if not dice.isnan().all():
                self._sum += float(dice.nanmean())
                self._count += 1

    @sync_all_reduce("_sum", "_count")
    def compute(self) -> float:
        return self._sum / self._count if self._count else math.nan
