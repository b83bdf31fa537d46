"""Per-image figures summed up for each data set, never over all of them."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

IDENTIFYING = ("id", "dataset", "part", "prompt")


def summarize(rows: Iterable[Mapping[str, object]]) -> list[dict]:
    """Mean, standard deviation, median and count of every metric, by data set, part and prompt.

    Args:
        rows: one mapping an image: id, dataset, part, prompt and metrics (NaN where undefined).

    Returns:
        One dictionary a group: dataset, part, prompt, n, and under "metrics" for each metric mean, std (sample
        standard deviation), median, n and the ids for which it is undefined.
    """
    groups: dict[tuple, dict[str, array]] = {}
    undefined: dict[tuple, dict[str, list]] = {}
    counts: Counter = Counter()
    for row in rows:
        key = (row["dataset"], row["part"], row["prompt"])
        counts[key] += 1
        values, unknown = groups.setdefault(key, {}), undefined.setdefault(key, {})
        for name, value in row.items():
            if name in IDENTIFYING:
                continue
            numbers, names = values.setdefault(name, array("d")), unknown.setdefault(name, [])
            if math.isnan(value):
                names.append(row["id"])
            else:
                numbers.append(value)
    return [
        {
            **dict(zip(("dataset", "part", "prompt"), key)),
            "n": counts[key],
            "metrics": {name: _figures(np.asarray(numbers), undefined[key][name]) for name, numbers in values.items()},
        }
        for key, values in sorted(groups.items())
    ]


def _figures(defined: np.ndarray, undefined: list[str]) -> dict[str, object]:
    if not len(defined):
        return {"mean": None, "std": None, "median": None, "n": 0, "undefined": undefined}
    return {
        "mean": float(np.mean(defined)),
        "std": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        "median": float(np.median(defined)),
        "n": len(defined),
        "undefined": undefined,
    }


def format_summary(summary: Sequence[Mapping], metrics: Sequence[str]) -> str:
    """The summary as a plain text table, mean +- standard deviation; a figure with undefined images says how many."""
    head = f"{'data set':<14} {'part':<12} {'prompt':<8}{'n':>5}" + "".join(f" {name:>23}" for name in metrics)
    lines = [head]
    for group in summary:
        line = f"{group['dataset']:<14} {group['part']:<12} {group['prompt']:<8}{group['n']:>5}"
        for name in metrics:
            figures = group["metrics"].get(name)
            if figures is None or figures["mean"] is None:
                line += f" {'-':>23}"
                continue
            text = f"{figures['mean']:.4f}"
            text += "" if figures["std"] is None else f" +- {figures['std']:.4f}"
            text += f" ({len(figures['undefined'])}?)" if figures["undefined"] else ""
            line += f" {text:>23}"
        lines.append(line)
    if any(figures["undefined"] for group in summary for figures in group["metrics"].values()):
        lines.append("(k?): undefined for k images, which are named in the summary file and left out of the mean")
    return "\n".join(lines)
