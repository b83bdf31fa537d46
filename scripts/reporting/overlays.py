"""Masks drawn over radiographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from ..files import replacing

TRUTH, PREDICTION, FIELD = (60, 220, 90), (255, 70, 70), (80, 160, 255)
MARGIN = 16


def outline(mask: np.ndarray, thickness: int = 1) -> np.ndarray:
    """The inner border of an H x W boolean mask, `thickness` pixels wide."""
    return mask & ~binary_erosion(mask, iterations=thickness)


def overlay_panel(
    image: np.ndarray, prediction: np.ndarray, truth: np.ndarray | None = None, caption: str = "", side: int = 256
) -> Image.Image:
    """`overlay` with a caption, on a square; panels of one `side` fit together."""
    picture = overlay(image, prediction, truth, side)
    panel = Image.new("RGB", (side, side + MARGIN))
    panel.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    ImageDraw.Draw(panel).text((3, side + 2), caption, fill=(255, 255, 255))
    return panel


def overlay(
    image: np.ndarray,
    prediction: np.ndarray,
    truth: np.ndarray | None = None,
    side: int = 256,
    thickness: int = 1,
    field: np.ndarray | None = None,
) -> Image.Image:
    """One radiograph with the outlines of the predicted (red) and the true (green) mask.

    Args:
        image: H x W, any range; shown between its 0.5 and 99.5 percentiles.
        prediction, truth: C x H x W booleans.
        side: longest side of the picture in pixels.
        thickness: of the outlines in pixels.
        field: 4 x 2 corners (x, y) of the exposed field in pixels of the image, drawn in blue, or None.
    """
    low, high = np.percentile(image, (0.5, 99.5))
    gray = np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255
    scale = side / max(gray.shape)
    size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
    picture = np.array(Image.fromarray(gray.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR).convert("RGB"))
    for mask, colour in ((truth, TRUTH), (prediction, PREDICTION)):
        for channel in () if mask is None else mask:
            shown = np.array(Image.fromarray(channel.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)) > 0
            picture[outline(shown, thickness)] = colour
    drawn = Image.fromarray(picture)
    if field is not None:
        corners = [tuple(corner) for corner in np.asarray(field) * scale]
        ImageDraw.Draw(drawn).line([*corners, corners[0]], fill=FIELD, width=thickness)
    return drawn


def join_panels(panels: Sequence[Image.Image], columns: int = 6) -> Image.Image:
    """Panels of one size side by side, row by row."""
    columns = min(columns, len(panels))
    width, height = panels[0].size
    sheet = Image.new("RGB", (columns * width, -(-len(panels) // columns) * height))
    for i, panel in enumerate(panels):
        sheet.paste(panel, (i % columns * width, i // columns * height))
    return sheet


def overlay_sheet(panels: Sequence[Image.Image], path: str | Path, columns: int = 6) -> None:
    """Paste panels of one size into a sheet and write it as PNG."""
    with replacing(path) as partial:
        join_panels(panels, columns).save(partial, format="PNG")
