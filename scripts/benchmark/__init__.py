"""Speed and memory, as ratios against a named peer in the same run."""

from .inference import InferenceBenchmark
from .rounds import Figures, interleave

__all__ = ["Figures", "InferenceBenchmark", "interleave"]
