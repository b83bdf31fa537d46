"""Dice, IoU, NSD, HD95 and ASSD of one image (definitions as in MONAI and Metrics Reloaded)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
    compute_iou,
    compute_surface_dice,
)

METRICS = ("dice", "iou", "nsd", "hd95", "assd")
SURFACE_METRICS = ("nsd", "hd95", "assd")
NSD_TOLERANCE = 2.0


def class_metrics(prediction: torch.Tensor, truth: torch.Tensor, spacing: Sequence[float] | None = None) -> dict:
    """Metrics of one class in one image; NaN where a metric is undefined.

    Two empty masks leave everything undefined. If one of the two is empty, Dice, IoU and NSD are 0 (nothing agrees)
    while the surface distances are undefined.

    Args:
        prediction, truth: H x W zeros and ones.
        spacing: (row, column) pixel spacing in mm; None measures in pixels.

    Returns:
        dice, iou, nsd (tolerance 2 pixels or 2 mm), hd95 and assd (pixels or mm).
    """
    found, present = bool(prediction.any()), bool(truth.any())
    if not found and not present:
        return dict.fromkeys(METRICS, math.nan)
    if not (found and present):
        return {"dice": 0.0, "iou": 0.0, "nsd": 0.0, "hd95": math.nan, "assd": math.nan}
    pair = {"y_pred": prediction[None, None].float(), "y": truth[None, None].float(), "include_background": True}
    surface = dict(pair, spacing=spacing)
    return {
        "dice": float(compute_dice(**pair)),
        "iou": float(compute_iou(**pair)),
        "nsd": float(compute_surface_dice(**surface, class_thresholds=[NSD_TOLERANCE])),
        "hd95": float(compute_hausdorff_distance(**surface, percentile=95)),
        "assd": float(compute_average_surface_distance(**surface, symmetric=True)),
    }


def image_metrics(
    prediction: torch.Tensor, truth: torch.Tensor, class_names: Sequence[str], spacing: Sequence[float] | None = None
) -> dict[str, float]:
    """Metrics of one image: the mean over its classes, and each class where there are several.

    A class absent from both masks does not count. If one that counts is undefined, so is the mean: leaving a missed
    organ out would make the image look better.

    Args:
        prediction, truth: C x H x W zeros and ones.
        class_names: C names.
        spacing: (row, column) pixel spacing in mm; where it is known, surface metrics in mm are added.

    Returns:
        "dice", ... in pixels, "nsd_mm", ... where spacing is known, and "dice_NAME", ... for several classes.
    """
    if prediction.shape != truth.shape or len(prediction) != len(class_names):
        raise ValueError(f"shapes {tuple(prediction.shape)}, {tuple(truth.shape)} for {len(class_names)} classes")
    values: dict[str, list[float]] = {}
    for name, found, true in zip(class_names, prediction, truth):
        figures = class_metrics(found, true)
        if spacing is not None:
            millimetres = class_metrics(found, true, list(spacing))
            figures |= {f"{metric}_mm": millimetres[metric] for metric in SURFACE_METRICS}
        for metric, value in figures.items():
            if found.any() or true.any():
                values.setdefault(metric, []).append(value)
            else:
                values.setdefault(metric, [])
            if len(class_names) > 1:
                values[f"{metric}_{name}"] = [value]
    return {metric: float(np.mean(numbers)) if numbers else math.nan for metric, numbers in values.items()}
