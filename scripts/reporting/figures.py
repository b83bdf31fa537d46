"""Figures without a display."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..files import replacing


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches that needs neither display nor global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path, dpi: int = 110) -> None:
    """Write the figure as PNG."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=dpi)
