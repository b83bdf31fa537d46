"""How large a film may be."""

from __future__ import annotations

import math
from pathlib import Path

from ..errors import BundleError

# Larger films are refused: a header of a few bytes can claim any size, and the memory that a film takes grows with it
# (docs/reliability.md). Digitised film at 50 micrometres has 60 million pixels, detectors have 10.
MAX_PIXELS = 80_000_000


def check_pixels(path: str | Path, *shape: int) -> None:
    """Raise `BundleError` unless an array of `shape` has between 1 and `MAX_PIXELS` values."""
    sides = " x ".join(map(str, shape))
    if not shape or min(shape) < 1:
        raise BundleError(f"{path}: cannot be read as an image (its size is {sides or 'not given'})")
    count = math.prod(shape)
    if count > MAX_PIXELS:
        raise BundleError(
            f"{path}: too large, {f'{sides} are ' * (len(shape) > 1)}{count / 1e6:.0f} million pixels, at most "
            f"{MAX_PIXELS / 1e6:.0f} million are read; scale it down"
        )
