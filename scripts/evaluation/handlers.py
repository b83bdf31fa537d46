"""Per-image figures of an evaluation, as a table and as a sheet of overlays."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine, Events

from ..data import LoadRadiographd
from ..data.loading import image_stem
from ..files import write_json
from ..reporting import overlay_panel, overlay_sheet
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


class OverlaySheet:
    """Draws predicted and true outlines of images spread evenly over the data set into one picture.

    Args:
        path: PNG to write.
        total: number of images in the evaluation.
        count: number of images to draw.
    """

    def __init__(self, path: str | Path, total: int, count: int = 24) -> None:
        self.path = Path(path)
        self.count = min(count, total)
        self.chosen = set(np.linspace(0, total - 1, self.count).round().astype(int).tolist()) if total else set()
        self.seen = 0
        self.panels: list = []
        self.load = LoadRadiographd("image")

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI evaluator."""
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Engine) -> None:
        self.seen, self.panels = 0, []

    def iteration_completed(self, engine: Engine) -> None:
        for item, result in zip(engine.state.batch, engine.state.output):
            if self.seen in self.chosen:
                self.panels.append(self.draw(item, result))
            self.seen += 1

    def draw(self, item: Mapping, result: Mapping[str, torch.Tensor]):
        """One panel, captioned with id and Dice."""
        image = self.load.load_one(item["image"].meta["filename_or_obj"])[0].numpy().T
        pred, label = (result[key].cpu().numpy() > 0.5 for key in ("pred", "label"))
        dice = image_metrics(torch.from_numpy(pred), torch.from_numpy(label), [str(i) for i in range(len(pred))])[
            "dice"
        ]
        return overlay_panel(image, pred, label, f"{identify(item)['id']}  Dice {dice:.3f}")

    def completed(self, engine: Engine) -> None:
        if self.panels:
            overlay_sheet(self.panels, self.path)
            logging.getLogger("evaluation").info("overlays (green: truth, red: prediction): %s", self.path)
