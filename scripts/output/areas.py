"""How large what was found is."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def lung_areas(
    labels: np.ndarray, class_names: tuple[str, ...], spacing: tuple[float, float], orientation: str = ""
) -> dict[str, float]:
    """Areas in cm2.

    Where all lungs are one class and the mask has two large parts, they are told apart by their place: films hang with
    the patient's right on the left of the picture, unless the file says otherwise.

    Args:
        labels: W x H label map.
        class_names: in the order of their numbers.
        spacing: (row, column) in mm.
        orientation: DICOM's PatientOrientation, such as "L\\F" (columns go to the left, rows to the feet), or "".

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
    components, count = ndimage.label(labels > 0)
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    if count < 2 or np.sort(sizes)[-2] < 0.1 * sizes.max():
        return areas
    first, second = np.argsort(sizes)[-2:] + 1
    across = [ndimage.center_of_mass(components == part)[0] for part in (first, second)]
    on_the_left, on_the_right = (first, second) if across[0] < across[1] else (second, first)
    mirrored = orientation.startswith("R")
    areas["right_lung_cm2"] = float(sizes[(on_the_right if mirrored else on_the_left) - 1]) * unit
    areas["left_lung_cm2"] = float(sizes[(on_the_left if mirrored else on_the_right) - 1]) * unit
    return areas
