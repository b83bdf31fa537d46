"""Per-image figures of an evaluation as a table."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from ignite.engine import Engine, Events

from ..data.loading import image_stem
from ..files import write_json
from .metrics import METRICS, image_metrics, pixel_spacing
from .summary import format_summary, summarize


class MetricsTable:
    """Writes `metrics.csv` (one row an image) while the evaluation runs, then `summary.json`, and prints the summary.

    Expects a decollated output with "pred" and "label", C x H x W zeros and ones in the image's own resolution.

    Args:
        output_dir: folder for both files.
        class_names: names of the C classes.
        prompt: how the network was prompted, "full" image or "box"; stated in every row.
    """

    def __init__(self, output_dir: str | Path, class_names: Sequence[str] = ("lungs",), prompt: str = "full") -> None:
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.prompt = prompt
        self.rows: list[dict] = []
        self._file = None
        self._writer: csv.DictWriter | None = None

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI evaluator."""
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def columns(self) -> list[str]:
        """Columns of the table; those in mm are empty where the spacing is unknown."""
        names = [*METRICS, *(f"{name}_mm" for name in METRICS[2:])]
        if len(self.class_names) > 1:
            names += [f"{metric}_{name}" for name in self.class_names for metric in METRICS]
        return ["id", "dataset", "part", "prompt", *names]

    def started(self, engine: Engine) -> None:
        self.rows = []
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self._file = (self.output_dir / "metrics.csv").open("w", newline="")
        self._writer = csv.DictWriter(self._file, self.columns(), extrasaction="ignore")
        self._writer.writeheader()

    def iteration_completed(self, engine: Engine) -> None:
        for item, result in zip(engine.state.batch, engine.state.output):
            meta = item["image"].meta
            row = {
                **identify(item),
                "prompt": self.prompt,
                **image_metrics(result["pred"], result["label"], self.class_names, pixel_spacing(meta)),
            }
            self.rows.append(row)
            self._writer.writerow(row)
        self._file.flush()

    def completed(self, engine: Engine) -> None:
        self._file.close()
        summary = summarize(self.rows)
        write_json(self.output_dir / "summary.json", {"groups": summary})
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
