"""Training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from .figures import new_figure, save_figure


def plot_curves(history: Sequence[Mapping[str, float]], path: str | Path, title: str) -> None:
    """Draw loss on the left and validation metrics on the right, over epochs.

    Args:
        history: one mapping an epoch with "epoch", "loss" and any metrics; a metric may be absent from some epochs.
        path: PNG to write.
        title: over the figure.
    """
    figure = new_figure(9, 3.4)
    figure.suptitle(title, fontsize=11)
    left, right = figure.subplots(1, 2)
    left.plot([row["epoch"] for row in history], [row["loss"] for row in history], marker=".")
    left.set_ylabel("training loss")
    names = dict.fromkeys(name for row in history for name in row if name not in ("epoch", "loss"))
    for name in names:
        rows = [row for row in history if name in row]
        right.plot([row["epoch"] for row in rows], [row[name] for row in rows], marker=".", label=name)
    right.set_ylabel("validation")
    if names:
        right.legend(fontsize=8)
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    save_figure(figure, path)
