"""AdaLoRA: low-rank increments of adaptive rank (Zhang et al., ICLR 2023, arXiv 2303.10512)."""

from .allocator import RankAllocator
from .layer import AdaLoRALinear
from .network import adapt, adapted_layers, compact, merge, rank_budget, rank_pattern, with_own_adapters
from .orthogonality import orthogonality
from .schedule import ConstantBudget, RankSchedule

__all__ = [
    "AdaLoRALinear",
    "ConstantBudget",
    "RankAllocator",
    "RankSchedule",
    "adapt",
    "adapted_layers",
    "compact",
    "merge",
    "orthogonality",
    "rank_budget",
    "rank_pattern",
    "with_own_adapters",
]
