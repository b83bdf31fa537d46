"""A linear layer with low-rank increments of adaptive rank."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


class AdaLoRALinear(nn.Linear):
    """Frozen linear layer plus dW = s P diag(lambda * m) Q for each of the G projections stacked in its output.

    SAM computes q, k and v with one linear layer; each gets its own triplets here, and all of them share one product
    with Q. The triplets of the projections stand side by side: those of projection g are columns `ranks[:g]` on.

    Attributes:
        adapter_P: (d_out / G) x R left singular vectors as columns, orthonormal at the start.
        adapter_lambda: R singular values, 0 at the start, so that dW = 0 before the first step.
        adapter_Q: R x d_in right singular vectors as rows, orthonormal at the start.
        rank_mask: R booleans m; the allocator keeps lambda = 0 where m is False.
        adapter_scaling: s as a constant of the build: a checkpoint of another scaling is refused.
        ranks: number of triplets of each projection, adding up to R.

    Args:
        linear: the layer to adapt; its weight and bias are taken over and frozen.
        projections: names of the projections stacked in the output; None marks one that gets no triplets.
        ranks: triplets of each projection; an integer stands for all that are named.
        scaling: s, alpha / initial rank.
    """

    constants = ("adapter_scaling",)

    def __init__(
        self, linear: nn.Linear, projections: Sequence[str | None], ranks: int | Sequence[int], scaling: float = 1.0
    ) -> None:
        groups = len(projections)
        if groups == 0 or linear.out_features % groups:
            raise ValueError(f"{linear.out_features} outputs cannot be split into {groups} projections")
        # The parameters are taken over, so nothing is allocated for them here.
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        self.weight = linear.weight
        self.bias = linear.bias
        self.weight.requires_grad_(False)
        if self.bias is not None:
            self.bias.requires_grad_(False)
        self.projections = tuple(projections)
        if isinstance(ranks, int):
            ranks = [0 if name is None else ranks for name in projections]
        if len(ranks) != groups or min(ranks) < 0:
            raise ValueError(f"ranks must be one non-negative number per projection, got {list(ranks)}")
        self.ranks = tuple(int(rank) for rank in ranks)
        self.scaling = scaling
        total, options = sum(self.ranks), {"device": linear.weight.device, "dtype": linear.weight.dtype}
        self.adapter_P = nn.Parameter(torch.empty(linear.out_features // groups, total, **options))
        self.adapter_lambda = nn.Parameter(torch.zeros(total, **options))
        self.adapter_Q = nn.Parameter(torch.empty(total, linear.in_features, **options))
        self.register_buffer("rank_mask", torch.ones(total, dtype=torch.bool, device=linear.weight.device))
        self.register_buffer("adapter_scaling", torch.tensor(float(scaling), device=linear.weight.device))
        self.reset_adapter()

    @torch.no_grad()
    def reset_adapter(self) -> None:
        """Orthonormal P and Q per projection, lambda = 0."""
        self.adapter_lambda.zero_()
        for triplets in self.slices():
            if triplets.stop > triplets.start:
                left, right = torch.empty_like(self.adapter_P[:, triplets]), torch.empty_like(self.adapter_Q[triplets])
                self.adapter_P[:, triplets] = nn.init.orthogonal_(left)
                self.adapter_Q[triplets] = nn.init.orthogonal_(right)

    def slices(self) -> list[slice]:
        """The triplets of each projection."""
        ends = [sum(self.ranks[: g + 1]) for g in range(len(self.ranks))]
        return [slice(end - rank, end) for end, rank in zip(ends, self.ranks)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """... x d_in -> ... x d_out."""
        base = F.linear(x, self.weight, self.bias)
        if sum(self.ranks) == 0:
            return base
        # Two thin products, and the sum in the second of them: what is as large as the output is written once.
        inner = F.linear(x, self.adapter_Q * self.values()[:, None])
        return torch.addmm(base.flatten(0, -2), inner.flatten(0, -2), self.left().T).view_as(base)

    def left(self) -> torch.Tensor:
        """P of all projections as one d_out x R matrix: block-diagonal, each acts on its own outputs."""
        return torch.block_diag(*self.adapter_P.split(self.ranks, 1)) if len(self.ranks) > 1 else self.adapter_P

    def values(self) -> torch.Tensor:
        """R singular values with the scaling."""
        return self.adapter_lambda * self.scaling

    def delta_weight(self) -> torch.Tensor:
        """dW, d_out x d_in."""
        return (self.left() * self.values()) @ self.adapter_Q

    def merged_weight(self) -> torch.Tensor:
        """W + dW, d_out x d_in."""
        return self.weight + self.delta_weight() if sum(self.ranks) else self.weight

    def factors(self) -> list[torch.Tensor]:
        """P and Q^T of each projection, d x rank matrices whose columns should be orthonormal."""
        left, right = self.adapter_P.split(self.ranks, 1), self.adapter_Q.split(self.ranks)
        return [factor for P, Q in zip(left, right) if P.shape[1] for factor in (P, Q.T)]

    def merge(self) -> nn.Linear:
        """A plain linear layer of the same outputs to rounding: weight W + dW."""
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        linear.weight = nn.Parameter(self.merged_weight().detach().clone())
        linear.bias = self.bias
        return linear

    def compact(self) -> AdaLoRALinear:
        """This layer without its masked triplets."""
        kept = self.rank_mask
        ranks = [int(kept[triplets].sum()) for triplets in self.slices()]
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        linear.weight, linear.bias = self.weight, self.bias
        layer = AdaLoRALinear(linear, self.projections, ranks, self.scaling)
        with torch.no_grad():
            layer.adapter_P.copy_(self.adapter_P[:, kept])
            layer.adapter_lambda.copy_(self.adapter_lambda[kept])
            layer.adapter_Q.copy_(self.adapter_Q[kept])
        return layer

    def extra_repr(self) -> str:
        ranks = ", ".join(f"{name}: {rank}" for name, rank in zip(self.projections, self.ranks) if name is not None)
        return f"{super().extra_repr()}, ranks={{{ranks}}}, scaling={self.scaling:g}"
