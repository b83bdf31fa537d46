"""What the runs of a study left: figures of each image, and of each run."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import BundleError
from ..evaluation import METRICS

# data set -> metric -> image id -> seed -> figure
Figures = dict[str, dict[str, dict[str, dict[int, float]]]]


@dataclass
class RowScores:
    """Figures of one row of the study over its finished seeds.

    Attributes:
        figures: data set -> metric -> image id -> seed -> figure; NaN where undefined.
        findings: image id -> finding of the data list, where it has one.
        seeds: the finished ones.
        trainable: parameters that train, without dropped triplets; None where nothing is trained.
        seconds: median network time for an image in the evaluation, of each seed.
        train_seconds: of each seed's training command.
    """

    figures: Figures = field(default_factory=dict)
    findings: dict[str, str] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    trainable: int | None = None
    seconds: list[float] = field(default_factory=list)
    train_seconds: list[float] = field(default_factory=list)

    def dice(self, dataset: str, seeds: list[int]) -> dict[str, float]:
        """Dice of each image, its mean over `seeds`."""
        images = self.figures[dataset]["dice"]
        return {name: float(np.mean([values[seed] for seed in seeds])) for name, values in images.items()}


def read_scores(folder: Path) -> RowScores:
    """Read the finished runs below the folder of a row.

    Raises:
        BundleError: two seeds of the row were scored on different images.
    """
    scores = RowScores()
    for run in sorted(folder.glob("seed_*"), key=lambda path: int(path.name[5:])):
        if not (run / "done.json").is_file() or not (run / "metrics.csv").is_file():
            continue
        seed = int(run.name[5:])
        scores.seeds.append(seed)
        with (run / "metrics.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                if row.get("finding"):
                    scores.findings[row["id"]] = row["finding"]
                for metric in METRICS:
                    images = scores.figures.setdefault(row["dataset"], {}).setdefault(metric, {})
                    value = float(row[metric] or "nan")
                    images.setdefault(row["id"], {})[seed] = value if np.isfinite(value) else float("nan")
        for path in sorted(run.glob("stage*/parameters.json")):
            scores.trainable = json.loads(path.read_text())["trainable_pruned"]
        seconds = _content(run / "summary.json").get("network_seconds_per_image")
        scores.seconds += [] if seconds is None else [seconds]
        trained = _content(run / "done.json").get("seconds", {}).get("train")
        scores.train_seconds += [] if trained is None else [trained]
    for metrics in scores.figures.values():
        for name, values in metrics["dice"].items():
            if len(values) != len(scores.seeds):
                raise BundleError(f"{folder}: {name} was not scored with every seed; run the row again")
    return scores


def _content(path: Path) -> Mapping:
    return json.loads(path.read_text()) if path.is_file() else {}
