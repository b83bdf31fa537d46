"""Rounding that autograd passes straight through, written for speed: nothing is computed that no gradient needs."""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class RoundActivation(torch.autograd.Function):
    """Affine fake quantization per tensor with the gradients of LSQ+, on the CPU.

    The arithmetic of torch's `_fake_quantize_learnable_per_tensor_affine`, which goes through the values one by one
    there; whole-tensor operations take a tenth of the time.

    Args of `apply`:
        x: any shape, float32.
        scale, zero_point: shape [1]; the zero point is rounded here.
        first, last: smallest and largest integer.
    """

    @staticmethod
    def forward(ctx, x, scale, zero_point, first, last):
        """`x` on the grid, of the same shape."""
        step, zero = scale.item(), round(zero_point.clamp(first, last).item())
        rounded = (x * (1 / scale)).round_().clamp_(first - zero, last - zero).mul_(scale)
        ctx.inside = ((first - zero - 0.5) * step, (last - zero + 0.5) * step)  # what rounds to first..last
        ctx.save_for_backward(x, rounded, scale)
        return rounded

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, rounded, scale = ctx.saved_tensors
        by_x = torch.ops.aten.hardtanh_backward(gradient, x, *ctx.inside)
        if not (ctx.needs_input_grad[1] or ctx.needs_input_grad[2]):
            return by_x, None, None, None, None
        clipped = gradient - by_x
        by_scale = (_dot(by_x, rounded - x) + _dot(clipped, rounded)) / scale
        return by_x, by_scale, clipped.sum().neg() * scale, None, None


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.dot(a.reshape(-1), b.reshape(-1))


class RoundWeight(torch.autograd.Function):
    """Symmetric fake quantization with scales that clip nothing, so that every gradient passes.

    Args of `apply`:
        weight: any shape.
        scale: of a shape that broadcasts against it.
        first, last: smallest and largest integer.
    """

    @staticmethod
    def forward(ctx, weight, scale, first, last):
        """`weight` on the grid, of the same shape."""
        return (weight / scale).round_().clamp_(first, last).mul_(scale)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None, None, None


class ThroughMergedWeight(torch.autograd.Function):
    """Linear layer with a rounded weight W' ~ W + L diag(v) Q, differentiable in x, bias, L, v and Q.

    The straight-through estimator hands L, v and Q the gradient of W'. Of that d_out x d_in matrix G^T x only its
    products with the factors are needed, and those are thin: with R triplets and N rows of x, each takes N R d
    multiplications in place of N d_out d_in.

    Args of `apply`:
        x: ... x d_in.
        weight: W', d_out x d_in; no gradient.
        bias: d_out, or None.
        left: L, d_out x R.
        values: v, R.
        right: Q, R x d_in.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, left, values, right):
        """... x d_out."""
        ctx.save_for_backward(x, weight, left, values, right)
        return F.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight, left, values, right = ctx.saved_tensors
        needs_x, _, needs_bias, needs_left, needs_values, needs_right = ctx.needs_input_grad
        by_x = gradient @ weight if needs_x else None
        rows, gradient = x.flatten(0, -2), gradient.flatten(0, -2)
        inner = rows @ right.T if needs_left or needs_values else None
        outer = gradient @ left if needs_values or needs_right else None
        by_bias = gradient.sum(0) if needs_bias else None
        by_left = gradient.T @ (inner * values) if needs_left else None
        by_values = (inner * outer).sum(0) if needs_values else None
        by_right = (outer * values).T @ rows if needs_right else None
        return by_x, None, by_bias, by_left, by_values, by_right
