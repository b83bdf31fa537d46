"""Per-image figures of an evaluation as a table."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from ..data.loading import image_stem, pixel_spacing
from ..files import write_json
from .metrics import METRICS, image_metrics
from .summary import format_summary, summarize


class MetricsTable:
    """Writes `metrics.csv` (one row an image) while the evaluation runs, then `summary.json`, and prints the summary.

    The summary also holds the median time of the network for an image, prompt to logits.

    Expects a decollated output with "pred" and "label", C x H x W zeros and ones in the image's own resolution.

    Args:
        output_dir: folder for both files.
        class_names: names of the C classes.
        prompt: how the network was prompted, "full" image or "box"; stated in every row.
        carried: columns of the data list that are carried over into the table, empty where the list has none.
    """

    def __init__(
        self,
        output_dir: str | Path,
        class_names: Sequence[str] = ("lungs",),
        prompt: str = "full",
        carried: Sequence[str] = (),
    ) -> None:
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.prompt = prompt
        self.carried = list(carried)
        self.rows: list[dict] = []
        self.seconds: list[float] = []
        self._started = 0.0
        self._file = None
        self._writer: csv.DictWriter | None = None

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI evaluator."""
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_STARTED, self.iteration_started)
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self.forward_completed)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def columns(self) -> list[str]:
        """Columns of the table; those in mm are empty where the spacing is unknown."""
        names = [*METRICS, *(f"{name}_mm" for name in METRICS[2:])]
        if len(self.class_names) > 1:
            names += [f"{metric}_{name}" for name in self.class_names for metric in METRICS]
        return ["id", "dataset", "part", "prompt", *self.carried, *names]

    def started(self, engine: Engine) -> None:
        self.rows, self.seconds = [], []
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self._file = (self.output_dir / "metrics.csv").open("w", newline="")
        self._writer = csv.DictWriter(self._file, self.columns(), extrasaction="ignore")
        self._writer.writeheader()

    def iteration_started(self, engine: Engine) -> None:
        self._started = time.perf_counter()

    def forward_completed(self, engine: Engine) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        elapsed, count = time.perf_counter() - self._started, len(engine.state.output["pred"])
        self.seconds += [elapsed / count] * count

    def iteration_completed(self, engine: Engine) -> None:
        for item, result in zip(engine.state.batch, engine.state.output):
            meta = item["image"].meta
            row = {
                **identify(item),
                "prompt": self.prompt,
                **image_metrics(result["pred"], result["label"], self.class_names, pixel_spacing(meta)),
            }
            self.rows.append(row)
            self._writer.writerow({**row, **{name: item.get(name, "") for name in self.carried}})
        self._file.flush()

    def completed(self, engine: Engine) -> None:
        self._file.close()
        summary = summarize(self.rows)
        seconds = float(np.median(self.seconds)) if self.seconds else None
        write_json(self.output_dir / "summary.json", {"groups": summary, "network_seconds_per_image": seconds})
        print(format_summary(summary, METRICS), flush=True)
        logging.getLogger("evaluation").info("written: %s", self.output_dir / "metrics.csv")


def identify(item: Mapping[str, object]) -> dict[str, str]:
    """id, dataset and part of a data item; a bare {"image", "label"} item is known by its file."""
    path = item["image"].meta.get("filename_or_obj", "")
    return {
        "id": item.get("id") or image_stem(path),
        "dataset": item.get("dataset") or Path(path).parent.name,
        "part": item.get("part") or "unseen",
    }
