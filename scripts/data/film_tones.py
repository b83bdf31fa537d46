"""Augmentation: gray curves and windows that films come with."""

from __future__ import annotations

import numpy as np
from monai.config import KeysCollection
from scipy.interpolate import PchipInterpolator

from ..errors import BundleError
from .film_artefacts import RandFilmd

# Entries of a curve's table: finer than the gray levels of any picture that is shown
LEVELS = 4096


class RandToneCurved(RandFilmd):
    """Bend the gray scale by a random monotone curve from 0 to 0 and 1 to 1: other films, printers and lookup tables.

    Half of the curves run through random control points, half are S-curves or their inverses.

    Args:
        keys, prob: as for `RandFilmd`.
        points: range of the number of control points between 0 and 1.
        gain: largest steepness of an S-curve; 4 is nearly straight.
    """

    def __init__(self, keys: KeysCollection, prob: float, points: tuple[int, int] = (2, 5), gain: float = 10.0) -> None:
        super().__init__(keys, prob)
        self.points = tuple(points)
        self.gain = gain

    def change(self, film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        table = self.control_points(rng) if rng.random() < 0.5 else self.s_curve(rng)
        return table[(film.clip(0, 1) * (LEVELS - 1) + 0.5).astype(np.int32)]

    def control_points(self, rng: np.random.Generator) -> np.ndarray:
        """Table of a smooth curve through control points at random steps, none of which is flat."""
        count = rng.integers(self.points[0], self.points[1] + 1) + 1
        x, y = (np.concatenate([[0], np.cumsum(0.35 + rng.random(count))]) for _ in range(2))
        return PchipInterpolator(x / x[-1], y / y[-1])(np.linspace(0, 1, LEVELS)).clip(0, 1).astype(np.float32)

    def s_curve(self, rng: np.random.Generator) -> np.ndarray:
        """Table of a logistic curve, steep in the middle, or of its inverse, flat in the middle."""
        x = np.linspace(0, 1, LEVELS)
        inverse = rng.random() < 0.3
        # The inverse of a steep curve would leave few grays in the middle
        gain = rng.uniform(2, self.gain / 2 if inverse else self.gain)
        curve = 1 / (1 + np.exp(-gain * (x - rng.uniform(0.3, 0.7))))
        curve = (curve - curve[0]) / (curve[-1] - curve[0])
        if inverse:
            curve = np.interp(x, curve, x)
        return curve.astype(np.float32)


class RandNarrowWindowd(RandFilmd):
    """Clip the darkest and brightest pixels of the film and stretch the rest to 0..1, as narrow windows do.

    Args:
        keys, prob: as for `RandFilmd`.
        dark, bright: largest shares of the film's pixels that are clipped, together less than 1.

    Raises:
        BundleError: the shares leave nothing.
    """

    def __init__(self, keys: KeysCollection, prob: float, dark: float = 0.2, bright: float = 0.2) -> None:
        super().__init__(keys, prob)
        if dark < 0 or bright < 0 or dark + bright >= 1:
            raise BundleError(
                f"shares that a window clips must be positive and less than 1 together, got {dark}, {bright}"
            )
        self.dark = dark
        self.bright = bright

    def change(self, film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        low, high = rng.uniform(0, self.dark), 1 - rng.uniform(0, self.bright)
        sample = film[::3, ::3]
        sample = sample[sample > 0]  # padding is no part of the film
        if len(sample) == 0:
            return film
        low, high = np.quantile(sample, (low, high))
        return ((film - low) / max(high - low, 0.05)).clip(0, 1).astype(np.float32)
