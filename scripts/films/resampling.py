"""Pictures at other sizes and in other places."""

from __future__ import annotations

import numpy as np
from PIL import Image


def thumbnail(picture: np.ndarray, side: int) -> np.ndarray:
    """An H x W picture at about `side` pixels, from means of 2 x 2 samples, so that noise counts for less."""
    step = max(1, round(max(picture.shape) / side / 2))
    samples = picture[::step, ::step]
    if max(samples.shape) < 1.5 * side:
        return samples
    rows, columns = (length // 2 * 2 for length in samples.shape)
    samples = samples[:rows, :columns]
    return (samples[::2, ::2] + samples[1::2, ::2] + samples[::2, 1::2] + samples[1::2, 1::2]) / 4


def resized(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """H x W values at another size: bilinear, with antialiasing where they shrink."""
    if values.shape == (height, width):
        return values
    picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


def warped(values: np.ndarray, matrix: np.ndarray, shape: tuple[int, int], outside: float) -> np.ndarray:
    """H x W values sampled bilinearly at `matrix` @ (x, y, 1) of each pixel of an image of `shape`."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    edges = half @ matrix @ np.linalg.inv(half)  # Pillow counts from the corner of a pixel
    picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(
        picture.transform(
            shape[::-1], Image.Transform.AFFINE, tuple(edges[:2].ravel()), Image.Resampling.BILINEAR, fillcolor=outside
        )
    )
