"""Comparison of methods: runs every row of a table for every seed, then statistics over the per-image figures."""

from .runner import Study
from .statistics import bootstrap_interval, holm, noninferiority, paired_difference
from .tables import write_tables

__all__ = ["Study", "bootstrap_interval", "holm", "noninferiority", "paired_difference", "write_tables"]
