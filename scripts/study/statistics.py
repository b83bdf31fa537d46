"""Statistics of per-image figures: intervals, Wilcoxon's test, non-inferiority, and Holm's correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW


def bootstrap_interval(values: Sequence[float], level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Bootstrap interval (bias-corrected and accelerated) of the mean over images.

    Args:
        values: at least two finite figures, one an image.
        level: of confidence, in 0..1.
        seed: of the resampling.
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        raise ValueError(f"an interval needs at least two images, got {len(values)}")
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    drawn = stats.bootstrap((values,), np.mean, confidence_level=level, rng=np.random.default_rng(seed))
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def noninferiority(differences: Sequence[float], margin: float) -> dict[str, float]:
    """Two one-sided t tests on paired differences (Schuirmann 1987).

    Args:
        differences: method minus reference, one an image.
        margin: differences within -margin..margin count as equal.

    Returns:
        "p_noninferior": of the null hypothesis mean <= -margin; "p_equivalent": the larger of both one-sided tests;
        "low", "high": the 90 % interval that lies within the margins exactly if both tests reject at 5 %.
    """
    if margin <= 0:
        raise ValueError(f"margin must be positive, got {margin}")
    sample = DescrStatsW(np.asarray(differences, dtype=float))
    p, (_, lower, _), _ = sample.ttost_mean(-margin, margin)
    low, high = sample.tconfint_mean(alpha=0.1)
    return {"p_noninferior": float(lower), "p_equivalent": float(p), "low": float(low), "high": float(high)}


def paired_difference(
    method: Mapping[str, float], reference: Mapping[str, float], margin: float
) -> dict[str, float | int]:
    """Compare two methods on the images that both scored.

    Args:
        method, reference: figure of each image by its id.
        margin: see `noninferiority`.

    Returns:
        n, mean difference, Wilcoxon's signed-rank p, and the figures of `noninferiority`.

    Raises:
        ValueError: the two did not score the same images.
    """
    if set(method) != set(reference):
        raise ValueError(f"not the same images: {sorted(set(method) ^ set(reference))[0]} was scored by one only")
    differences = np.array([method[name] - reference[name] for name in sorted(method)])
    wilcoxon = stats.wilcoxon(differences).pvalue if np.any(differences) else 1.0
    figures = {"n": len(differences), "mean": float(differences.mean()), "p_wilcoxon": float(wilcoxon)}
    return figures | noninferiority(differences, margin)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm 1979)."""
    return [float(p) for p in multipletests(p_values, method="holm")[1]] if len(p_values) else []
