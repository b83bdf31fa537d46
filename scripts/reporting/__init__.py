"""Pictures of a run: rank patterns, curves, overlays, and the report that holds them."""

from .curves import plot_curves
from .figures import new_figure, save_figure
from .overlays import join_panels, outline, overlay, overlay_panel, overlay_sheet
from .rank_pattern import plot_rank_pattern
from .report import write_report

__all__ = [
    "join_panels",
    "new_figure",
    "outline",
    "overlay",
    "overlay_panel",
    "overlay_sheet",
    "plot_curves",
    "plot_rank_pattern",
    "save_figure",
    "write_report",
]
