"""The rank pattern as a heat map: blocks x projections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .figures import new_figure, save_figure


def cell(name: str) -> tuple[str, str]:
    """Row and column of a projection: image_encoder.blocks.3.attn.qkv.q -> blocks.3, attn.qkv.q"""
    parts = name.removeprefix("image_encoder.").split(".")
    numbered = [i for i, part in enumerate(parts) if part.isdigit()]
    cut = numbered[-1] + 1 if numbered else len(parts) - 1
    return ".".join(parts[:cut]), ".".join(parts[cut:])


def plot_rank_pattern(pattern: Mapping[str, object], path: str | Path) -> None:
    """Draw {"budget": N, "ranks": {"module.projection": rank}} with one row a block and one column a projection."""
    cells = {cell(name): rank for name, rank in pattern["ranks"].items()}
    layers = list(dict.fromkeys(layer for layer, _ in cells))
    projections = list(dict.fromkeys(projection for _, projection in cells))
    grid = np.full((len(layers), len(projections)), np.nan)
    for (layer, projection), rank in cells.items():
        grid[layers.index(layer), projections.index(projection)] = rank
    figure = new_figure(2.6 + 1.0 * len(projections), 1.4 + 0.36 * len(layers))
    axes = figure.add_subplot()
    drawn = axes.imshow(grid, cmap="viridis", aspect="auto", vmin=0)
    middle = np.nanmax(grid) / 2
    for row, column in np.argwhere(~np.isnan(grid)):
        colour = "white" if grid[row, column] < middle else "black"
        axes.text(column, row, f"{grid[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(projections)), projections, fontsize=8)
    axes.set_yticks(range(len(layers)), layers)
    axes.set_title(f"ranks kept, {pattern['budget']} triplets", fontsize=10)
    figure.colorbar(drawn, ax=axes, shrink=0.8)
    save_figure(figure, path)
