"""Pictures of a run: rank patterns, curves, overlays, and the report that holds them."""

from .curves import plot_curves
from .overlays import join_panels, overlay_panel, overlay_sheet
from .rank_pattern import plot_rank_pattern
from .report import write_report

__all__ = ["join_panels", "overlay_panel", "overlay_sheet", "plot_curves", "plot_rank_pattern", "write_report"]
