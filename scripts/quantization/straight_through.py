"""Gradients of an adapter through the rounded weight that it is merged into."""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class ThroughMergedWeight(torch.autograd.Function):
    """Linear layer with a rounded weight W' ~ W + L diag(v) Q, differentiable in x, L, v and Q.

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
        by_left = gradient.T @ (inner * values) if needs_left else None
        by_values = (inner * outer).sum(0) if needs_values else None
        by_right = (outer * values).T @ rows if needs_right else None
        by_bias = gradient.sum(0) if needs_bias else None
        return by_x, None, by_bias, by_left, by_values, by_right
