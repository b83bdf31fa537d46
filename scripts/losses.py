"""Losses of both stages."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import nn


class DiceBCELoss(nn.Module):
    """Dice + binary cross entropy of independent sigmoid channels (AdaLoRA-QAT's segmentation loss).

    MONAI's `DiceCELoss` uses softmax cross entropy as soon as there are several channels, while organs here are
    channels of their own.

    Args:
        dice_weight, bce_weight: weights of the two terms.
    """

    def __init__(self, dice_weight: float = 1.0, bce_weight: float = 1.0) -> None:
        super().__init__()
        self.dice = DiceLoss(sigmoid=True)
        self.bce = nn.BCEWithLogitsLoss()
        self.dice_weight = dice_weight
        self.bce_weight = bce_weight

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scalar loss of B x C x H x W logits against a target of zeros and ones of the same shape."""
        target = target.to(logits.dtype)
        return self.dice_weight * self.dice(logits, target) + self.bce_weight * self.bce(logits, target)
