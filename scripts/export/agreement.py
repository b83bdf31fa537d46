"""How far the artefact is from the network it was made of, on images."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch


@torch.no_grad()
def agreement(reference: Callable, artefact: Callable, images: Iterable[tuple[str, torch.Tensor]]) -> dict[str, object]:
    """Compare masks and logits with the whole-image prompt.

    Args:
        reference, artefact: image 1 x 1 x S x S -> logits 1 x C x S x S.
        images: id and image.

    Returns:
        n, mean and worst Dice between both masks (1 where both are empty; of an image, that of its worst class), the
        id of the worst, and the mean and largest absolute difference of the logits.
    """
    dice, names, mean_error, largest = [], [], [], 0.0
    for name, image in images:
        first, second = reference(image), artefact(image)
        masks = [(logits > 0).flatten(0, 1).flatten(1) for logits in (first, second)]
        totals = [int(area) for area in sum(mask.sum(dim=1) for mask in masks)]
        shared = [int(area) for area in (masks[0] & masks[1]).sum(dim=1)]
        dice.append(min(2 * both / total if total else 1.0 for both, total in zip(shared, totals)))
        names.append(name)
        difference = (first - second).abs()
        mean_error.append(float(difference.mean()))
        largest = max(largest, float(difference.max()))
    if not dice:
        raise ValueError("agreement needs at least one image")
    worst = int(np.argmin(dice))
    return {
        "n": len(dice),
        "mean_dice": float(np.mean(dice)),
        "worst_dice": dice[worst],
        "worst_id": names[worst],
        "mean_logit_error": float(np.mean(mean_error)),
        "largest_logit_error": largest,
    }
