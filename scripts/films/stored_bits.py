"""Which bits of a stored DICOM pixel hold its value (PS3.5, 8.1.1)."""

from __future__ import annotations

import numpy as np


def stored_values(pixels: np.ndarray, dataset) -> np.ndarray:
    """Integer values of decoded `pixels`, H x W, with what does not belong to them taken out.

    The value may sit in the upper bits (HighBit), unused bits may hold an overlay or the lack of a sign. Headers err
    in all of this, too: what is done must make the picture smoother, or the pixels stay as they are.
    """
    allocated, bits = int(dataset.BitsAllocated), int(dataset.BitsStored)
    high = dataset.get("HighBit")
    high = bits - 1 if high is None else int(high)
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    if pixels.dtype.kind not in "iu" or not 0 < bits < allocated or 8 * pixels.dtype.itemsize != allocated:
        return pixels
    unsigned = pixels.view(f"u{pixels.dtype.itemsize}")
    top = 1 << bits
    if bits <= high < allocated:
        shift = high + 1 - bits
        if int(unsigned.max()) < top and (unsigned & ((1 << shift) - 1)).any():  # the value sits in the lower bits
            return _narrowed(pixels, unsigned, bits, signed)
        unsigned = unsigned >> shift
        return _signed(unsigned & (top - 1), bits) if signed else unsigned & (top - 1)
    return _narrowed(pixels, unsigned, bits, signed)


def _narrowed(pixels: np.ndarray, unsigned: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    """`pixels` with the bits above `bits` taken for what they should be, where that is smoother."""
    low, high = int(pixels.min()), int(pixels.max())
    fits = (-(1 << bits - 1) <= low and high < 1 << bits - 1) if signed else high < 1 << bits
    # No overlay covers half of a film: there the header says too few bits
    if fits or (not signed and (unsigned >= 1 << bits).mean() > 0.5):
        return pixels
    value = unsigned & ((1 << bits) - 1)
    other = _signed(value, bits) if signed else value
    return other if _roughness(other) < _roughness(pixels) else pixels


def _signed(values: np.ndarray, bits: int) -> np.ndarray:
    """Unsigned numbers of `bits` bits as signed ones."""
    wide = values.astype(np.int32)
    return wide - ((wide >> (bits - 1)) << bits)


def _roughness(values: np.ndarray) -> float:
    """Mean difference of neighbours along the rows: a bit that is misread makes cliffs."""
    wide = values[:: max(1, len(values) // 256)].astype(np.float32)
    return float(np.abs(np.diff(wide, axis=1)).mean()) if wide.shape[1] > 1 else 0.0
