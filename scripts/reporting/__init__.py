"""Pictures of a run: rank patterns, curves and overlays."""

from .curves import plot_curves
from .overlays import overlay_panel, overlay_sheet
from .rank_pattern import plot_rank_pattern

__all__ = ["overlay_panel", "overlay_sheet", "plot_curves", "plot_rank_pattern"]
