"""Shape and size of pixels."""

from __future__ import annotations

SQUARE = 0.01  # what counts as square: rounded spacings differ by less
WIDEST = 5.0  # no film has pixels so long; numbers beyond say something else


def believable(aspect: float, source: str) -> tuple[float, str]:
    """`aspect` (height of a pixel over its width) with its source, or 1 where pixels are square or it cannot be."""
    if abs(aspect - 1) < SQUARE or not 1 / WIDEST <= aspect <= WIDEST:
        return 1.0, ""
    return aspect, source
