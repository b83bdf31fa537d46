"""Windows (PS3.3, C.11.2.1), and which of them can be meant.

A window or table is a wish for display. One that was written by a converter which knew nothing of the film, or for
another part of the body, would take lungs or chest wall away from whoever looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SAMPLES = 1 << 16  # pixels that are enough to judge a window by
SATURATED = 0.01  # of a window's range, from either end
# Shares of the exposed field that a window may show as plain black and as plain white. Chosen on validation films, from
# where clipping costs more than reading the film's own range.
MOST_BLACK, MOST_WHITE = 0.15, 0.25
# A single value that so many pixels share is no picture: air, a shutter, a surround
FLAT = 0.02
FAR_AWAY = 0.2  # of a film's own range: what is farther above or below is no part of it


@dataclass(frozen=True)
class Window:
    """A window as the film states it.

    Attributes:
        center, width: in values after the modality LUT or rescale.
        function: LINEAR, LINEAR_EXACT or SIGMOID.
        brightest: gray of what lies above it; below it is 0.
    """

    center: float
    width: float
    function: str = "LINEAR"
    brightest: float = 255.0

    @classmethod
    def all_of(cls, dataset, brightest: float) -> list[Window | None]:
        """Every window of `dataset`; None for one without a positive width (LINEAR: at least 1)."""
        function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
        function = function if function in ("LINEAR", "LINEAR_EXACT", "SIGMOID") else "LINEAR"
        windows = []
        for center, width in zip(_numbers(dataset.get("WindowCenter")), _numbers(dataset.get("WindowWidth"))):
            usable = np.isfinite([center, width]).all() and width > (1 if function == "LINEAR" else 0)
            windows.append(cls(center, width, function, brightest) if usable else None)
        return windows

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest gray."""
        return 0.0, self.brightest

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Grays of `values`, float32 of the same shape."""
        if self.function == "SIGMOID":
            slope = np.clip(-4 * (values - self.center) / self.width, -60, 60)
            return np.asarray(self.brightest / (1 + np.exp(slope)), dtype=np.float32)
        shift, width = (0.5, self.width - 1) if self.function == "LINEAR" else (0.0, self.width)
        share = (values - np.float32(self.center - shift)) / np.float32(width) + np.float32(0.5)
        return share.clip(0, 1) * np.float32(self.brightest)


def _numbers(value: object) -> list[float]:
    if value is None:
        return []
    values = [value] if isinstance(value, str | float | int) or not isinstance(value, Sequence) else value
    numbers = []
    for one in values:
        try:
            numbers.append(float(one))
        except (TypeError, ValueError):
            numbers.append(float("nan"))
    return numbers


def can_be_meant(window, exposed: np.ndarray) -> bool:
    """Whether `window` (or table) leaves enough of the `exposed` values to see a chest in.

    Args:
        window: has `apply` and `range`.
        exposed: any number of values, before the window.
    """
    picture = sampled(exposed)
    low, high = window.range
    if picture.min() == picture.max():
        return True
    if not high > low:
        return False
    shown = (window.apply(picture) - low) / (high - low)
    black, white = picture[shown <= SATURATED], picture[shown >= 1 - SATURATED]
    flat = [commonest(values) for values in (black, white)]
    flat = [count if count > FLAT * len(picture) else 0 for count in flat]
    left = len(picture) - sum(flat)
    if left <= FLAT * len(picture):
        return True
    return len(black) - flat[0] <= MOST_BLACK * left and len(white) - flat[1] <= MOST_WHITE * left


def sampled(values: np.ndarray) -> np.ndarray:
    """About `SAMPLES` of the values of an array, evenly spread."""
    flat = values.ravel()
    return flat[:: max(1, len(flat) // SAMPLES)]


def commonest(values: np.ndarray) -> int:
    """How often the most frequent of any number of values occurs."""
    return int(np.unique(values, return_counts=True)[1].max()) if len(values) else 0


def without_overprint(values: np.ndarray) -> np.ndarray:
    """`values` of a film that no window limits, with letters and labels that stand far above or below it brought near.

    They have one value each, often the largest that there is, and would leave few grays to the film.
    """
    picture = sampled(values)
    low, high = values.min(), values.max()
    rest = picture[(picture > low) & (picture < high)]
    if len(rest) < len(picture) // 2:
        return values
    darkest, brightest = rest.min(), rest.max()
    near = FAR_AWAY * (brightest - darkest)
    if low >= darkest - near and high <= brightest + near:
        return values
    return values.clip(darkest - near, brightest + near)
