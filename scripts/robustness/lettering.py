"""Letters and numbers as machines burn them into films."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LINES = (
    "R",
    "L",
    "AP ERECT",
    "PORTABLE",
    "DOE^JANE",
    "4711 F 67Y",
    "29-02-2024 10:11",
    "kVp 120  mAs 2.5",
    "CHEST PA",
    "SUPINE",
)


def letters(shape: tuple[int, int], rng: np.random.Generator, count: int = 4) -> np.ndarray:
    """H x W coverage in [0, 1] of `count` lines of text near the corners, where machines put it."""
    height, width = shape
    sheet = Image.new("L", (width, height))
    draw = ImageDraw.Draw(sheet)
    for corner in rng.permutation(4)[:count]:
        lines = list(rng.choice(LINES, size=int(rng.integers(1, 4)), replace=False))
        font = ImageFont.load_default(size=max(8, int(height * rng.uniform(0.03, 0.055))))
        text = "\n".join(lines)
        left, top, right, bottom = draw.multiline_textbbox((0, 0), text, font=font)
        x = int(rng.uniform(0.01, 0.04) * width) if corner % 2 == 0 else width - right - int(0.02 * width)
        y = int(rng.uniform(0.01, 0.04) * height) if corner < 2 else height - bottom - int(0.02 * height)
        draw.multiline_text((x, y), text, fill=255, font=font)
    return np.asarray(sheet, np.float64) / 255
