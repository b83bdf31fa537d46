"""Grey values on a common scale."""

from __future__ import annotations

import numpy as np

LEVELS = 1 << 16  # grey values that are counted rather than sorted: all that detectors and files of 16 bits hold


def percentiles(values: np.ndarray, percents: tuple[float, ...]) -> list[float]:
    """What `numpy.percentile` gives: linear between the two values whose ranks are nearest."""
    values = values.ravel(order="K")  # as it lies in memory, since order does not matter
    with np.errstate(invalid="ignore"):  # NaN is no integer, and left to numpy
        numbers = values.astype(np.int32)
    if not np.array_equal(numbers, values) or numbers.max() - (least := numbers.min()) >= LEVELS:
        return [float(value) for value in np.percentile(values, percents)]
    up_to = np.bincount(numbers - least).cumsum()  # pixels up to each value
    ranks = np.asarray(percents) / 100 * (len(values) - 1)
    below, above = (np.searchsorted(up_to, rank, side="right") for rank in (np.floor(ranks), np.ceil(ranks)))
    return (least + below + (ranks % 1) * (above - below)).tolist()
