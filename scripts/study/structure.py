"""Where two methods' masks differ: structural similarity and distances between their outlines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.metrics import structural_similarity

from ..reporting import outline

# Gaussian weights of 1.5 pixels: the window of Wang et al. 2004
SSIM = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
QUANTILES = (0.5, 0.95, 0.99, 1.0)


def similarity_map(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """SSIM of two H x W boolean masks around each pixel, H x W in -1..1."""
    return structural_similarity(first.astype(np.float64), second.astype(np.float64), full=True, **SSIM)[1]


def outline_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distance in pixels of every outline pixel of one H x W boolean mask to the other's outline, both ways.

    Raises:
        ValueError: a mask is empty, so there is no distance.
    """
    outlines = [outline(mask) for mask in (first, second)]
    if not all(border.any() for border in outlines):
        raise ValueError("an empty mask has no outline")
    to_other = [distance_transform_edt(~border) for border in outlines[::-1]]
    return np.concatenate([distance[border] for distance, border in zip(to_other, outlines)])


def compare_structure(pairs: Iterable[tuple[str, np.ndarray, np.ndarray]]) -> dict[str, object]:
    """Sum up how far two methods' masks differ over images.

    Args:
        pairs: id and both H x W boolean masks.

    Returns:
        n; mean and least SSIM; share of equal outlines; "distance": quantiles of the outline distances in pixels;
        "histogram": share of outline pixels within 0, 1, 2, ... pixels; "lowest": id of least SSIM; "empty": ids where
        one of both masks is empty and distances are not defined; "images": SSIM of each id.
    """
    similarity: dict[str, float] = {}
    distances, empty, equal = [], [], 0
    for name, first, second in pairs:
        if first.shape != second.shape:
            raise ValueError(f"{name}: masks of shapes {first.shape} and {second.shape}")
        similarity[name] = float(similarity_map(first, second).mean())
        equal += bool((first == second).all())
        if first.any() and second.any():
            distances.append(outline_distances(first, second))
        elif first.any() or second.any():
            empty.append(name)
    if not similarity:
        raise ValueError("no images to compare")
    joined = np.concatenate(distances) if distances else np.zeros(0)
    lowest = min(similarity, key=similarity.get)
    return {
        "n": len(similarity),
        "mean_ssim": float(np.mean(list(similarity.values()))),
        "least_ssim": similarity[lowest],
        "lowest": lowest,
        "equal": equal / len(similarity),
        "distance": {str(q): float(np.quantile(joined, q)) for q in QUANTILES} if len(joined) else {},
        "histogram": histogram(joined),
        "empty": empty,
        "images": similarity,
    }


def histogram(distances: np.ndarray) -> Mapping[str, float]:
    """Share of distances in 0, (0, 1], (1, 2], (2, 4], (4, 8] and above 8 pixels."""
    if not len(distances):
        return {}
    edges = [-1, 0, 1, 2, 4, 8, np.inf]
    names = ["0", "1", "2", "4", "8", "more"]
    return {
        name: float(((distances > low) & (distances <= high)).mean())
        for name, low, high in zip(names, edges, edges[1:])
    }
