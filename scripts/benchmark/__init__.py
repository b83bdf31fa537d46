"""Speed and memory, as ratios against a named peer in the same run."""

from .rounds import Figures, interleave
from .suite import Benchmark

__all__ = ["Benchmark", "Figures", "interleave"]
