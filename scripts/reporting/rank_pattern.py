"""The rank pattern as a heat map: layers x projections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .figures import new_figure, save_figure


def short_name(module: str) -> str:
    """image_encoder.blocks.3.attn.qkv -> blocks.3.attn.qkv"""
    return module.removeprefix("image_encoder.")


def plot_rank_pattern(pattern: Mapping[str, object], path: str | Path) -> None:
    """Draw {"budget": N, "ranks": {"module.projection": rank}} with one row a layer and one column a projection."""
    cells = {tuple(name.rsplit(".", 1)): rank for name, rank in pattern["ranks"].items()}
    layers = list(dict.fromkeys(layer for layer, _ in cells))
    projections = list(dict.fromkeys(projection for _, projection in cells))
    grid = np.full((len(layers), len(projections)), np.nan)
    for (layer, projection), rank in cells.items():
        grid[layers.index(layer), projections.index(projection)] = rank
    figure = new_figure(2.6 + 0.9 * len(projections), 1.4 + 0.36 * len(layers))
    axes = figure.add_subplot()
    drawn = axes.imshow(grid, cmap="viridis", aspect="auto", vmin=0)
    middle = np.nanmax(grid) / 2
    for row, column in np.argwhere(~np.isnan(grid)):
        colour = "white" if grid[row, column] < middle else "black"
        axes.text(column, row, f"{grid[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(projections)), projections)
    axes.set_yticks(range(len(layers)), [short_name(layer) for layer in layers])
    axes.set_title(f"ranks kept, {pattern['budget']} triplets", fontsize=10)
    figure.colorbar(drawn, ax=axes, shrink=0.8)
    save_figure(figure, path)
