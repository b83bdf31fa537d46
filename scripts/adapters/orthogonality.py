"""How far singular vectors are from orthonormal (AdaLoRA, eq. 4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch

from .layer import AdaLoRALinear


def orthogonality(layers: Iterable[AdaLoRALinear]) -> torch.Tensor:
    """Sum over all projections of all layers of ||P^T P - I||^2 + ||Q Q^T - I||^2 (Frobenius); a scalar.

    Factors of one shape are multiplied together: a network has a hundred of them, too small to be worth a call each.

    Raises:
        ValueError: no layer has any triplet.
    """
    alike: dict[tuple[int, ...], list[torch.Tensor]] = defaultdict(list)
    for layer in layers:
        for factor in layer.factors():
            alike[factor.shape].append(factor)
    if not alike:
        raise ValueError("orthogonality: no layer has any triplet")
    terms = []
    for shape, factors in alike.items():
        stacked = torch.stack(factors)
        gram = stacked.mT @ stacked
        terms.append((gram - torch.eye(shape[1], device=gram.device, dtype=gram.dtype)).square().sum())
    return torch.stack(terms).sum()
