"""How large what was found is."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..films.pose import UPRIGHT, Pose


def lung_areas(
    labels: np.ndarray, class_names: tuple[str, ...], spacing: tuple[float, float], pose: Pose = UPRIGHT
) -> dict[str, float]:
    """Areas in cm2.

    Where all lungs are one class and the mask has two large parts, they are told apart by their place: upright films
    hang with the patient's right on the left of the picture.

    Args:
        labels: W x H label map.
        class_names: in the order of their numbers.
        spacing: (row, column) in mm.
        pose: what makes the film upright.

    Returns:
        "area_cm2" of all classes; "right_lung_cm2" and "left_lung_cm2" where they can be told.
    """
    unit = spacing[0] * spacing[1] / 100
    areas = {"area_cm2": float((labels > 0).sum()) * unit}
    if len(class_names) > 1:
        numbers = {name: number for number, name in enumerate(class_names, start=1)}
        for side in ("right", "left"):
            if f"{side} lung" in numbers:
                areas[f"{side}_lung_cm2"] = float((labels == numbers[f"{side} lung"]).sum()) * unit
        return areas
    components, count = ndimage.label(pose.upright(labels.T) > 0)
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    if count < 2 or np.sort(sizes)[-2] < 0.1 * sizes.max():
        return areas
    first, second = np.argsort(sizes)[-2:] + 1
    across = [ndimage.center_of_mass(components == part)[1] for part in (first, second)]
    right, left = (first, second) if across[0] < across[1] else (second, first)
    areas["right_lung_cm2"], areas["left_lung_cm2"] = (float(sizes[part - 1]) * unit for part in (right, left))
    return areas
