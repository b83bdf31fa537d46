"""Comparison of methods: runs every row of a table for every seed, then statistics over the per-image figures."""

from .pictures import write_ablations, write_structure, write_worst
from .runner import Study
from .statistics import bootstrap_interval, holm, noninferiority, paired_difference
from .structure import compare_structure, outline_distances, similarity_map
from .tables import write_tables

__all__ = [
    "Study",
    "bootstrap_interval",
    "compare_structure",
    "holm",
    "noninferiority",
    "outline_distances",
    "paired_difference",
    "similarity_map",
    "write_ablations",
    "write_structure",
    "write_tables",
    "write_worst",
]
