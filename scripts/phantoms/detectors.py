"""Two detectors: what a phantom looks like from another hospital."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.ndimage import gaussian_filter


def digital(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A digital detector: the phantom as it is drawn."""
    return image


def film(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A digitised film kept as a negative (bone dark): coarser, grainy, dense.

    Args:
        image: S x S in [0, 1].
        rng: of the grain.
    """
    side = image.shape[0]
    blurred = gaussian_filter(image, 1.5 * side / 256)
    grain = gaussian_filter(rng.standard_normal(image.shape), 0.7 * side / 256)
    negative = 1 - blurred ** rng.uniform(0.7, 1.1)
    return np.clip(0.85 * negative + 0.05 * grain, 0, 1).astype(np.float32)


DETECTORS: Mapping[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {"digital": digital, "film": film}
