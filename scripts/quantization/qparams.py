"""Quantization arithmetic as pure functions: real x ~ scale * (q - zero_point) with integer q."""

from __future__ import annotations

import torch

# Smallest step: a constant-zero tensor still gets a valid scale (torchao and torch.ao use the same float32 epsilon).
EPSILON = torch.finfo(torch.float32).eps


def signed_range(bits: int) -> tuple[int, int]:
    """Smallest and largest two's complement integer of `bits`: -128, 127 for 8."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def unsigned_range(bits: int) -> tuple[int, int]:
    """Smallest and largest unsigned integer of `bits`: 0, 255 for 8."""
    return 0, 2**bits - 1


def symmetric_scale(weight: torch.Tensor, bits: int, axis: int) -> torch.Tensor:
    """Scale of each channel along `axis` so that no weight is clipped; the zero point is 0.

    Args:
        weight: any shape.
        bits: width of the signed integers.
        axis: the output channel axis.

    Returns:
        As many scales as `weight` has entries along `axis`.
    """
    low, high = signed_range(bits)
    others = [i for i in range(weight.ndim) if i != axis]
    minimum, maximum = weight.amin(others), weight.amax(others)
    return torch.maximum(minimum / low, maximum / high).clamp(min=EPSILON)


def affine_qparams(low: torch.Tensor, high: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and (unrounded) zero point of unsigned integers that cover [low, high].

    The range is widened to contain 0, so that zero padding is exact.
    """
    first, last = unsigned_range(bits)
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = ((high - low) / (last - first)).clamp(min=EPSILON)
    return scale, (first - low / scale).clamp(first, last)


def quantize(
    x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor | int, first: int, last: int
) -> torch.Tensor:
    """Integers (as floats) in first..last nearest to x / scale + zero_point, halves to even.

    `scale` and `zero_point` must broadcast against `x`.
    """
    return (torch.round(x / scale) + zero_point).clamp(first, last)


def dequantize(q: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor | int) -> torch.Tensor:
    """Real values of integers `q`."""
    return (q - zero_point) * scale
