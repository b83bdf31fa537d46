"""Per-image figures of an evaluation as a table."""

from __future__ import annotations

import csv
import logging
import os
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from ..data.loading import pixel_spacing
from ..documents import TableWriter, plain_cell
from ..files import TEXT, naming_full_disk, remove_partials, replacing, write_json
from ..films.suffixes import image_stem
from .metrics import METRICS, image_metrics
from .processes import from_all
from .summary import IDENTIFYING, format_summary, summarize


class MetricsTable:
    """Writes `metrics.csv` (one row an image) while the evaluation runs, then `summary.json`, and prints the summary.

    The summary also holds the median time of the network for an image, prompt to logits. Rows go to a file beside
    `metrics.csv` and are not kept, so that memory does not grow with the images; the table of an earlier run stays
    until the evaluation is done. Of several processes, each writes a file of its own and the first one merges them in
    the order of the data; they must share the images as MONAI's `DistributedSampler` does.

    Expects a decollated output with "pred" and "label", C x H x W zeros and ones in the image's own resolution.

    Attributes:
        latest: rows of the last batch.
        places: their places in the data list.

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
        self.path = self.output_dir / "metrics.csv"
        self.latest: list[dict] = []
        self.places: list[int] = []
        self.seconds = array("d")
        self._done = 0
        self._started = 0.0
        self._part = self.path.with_name(f"{self.path.name}.rows.{os.getpid()}.partial")
        self._file = None
        self._writer: TableWriter | None = None

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
        self.latest, self.places, self.seconds, self._done = [], [], array("d"), 0
        self.output_dir.mkdir(parents=True, exist_ok=True)
        if idist.get_world_size() == 1:  # a process of another machine would look dead
            remove_partials(self.output_dir)
        self._file = self._part.open("w", newline="", **TEXT)
        self._writer = TableWriter(self._file, self.columns(), extrasaction="ignore")
        self._writer.writeheader()

    def iteration_started(self, engine: Engine) -> None:
        self._started = time.perf_counter()

    def forward_completed(self, engine: Engine) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        elapsed, count = time.perf_counter() - self._started, len(engine.state.output["pred"])
        self.seconds.extend([elapsed / count] * count)

    def iteration_completed(self, engine: Engine) -> None:
        self.latest = []
        for item, result in zip(engine.state.batch, engine.state.output):
            meta = item["image"].meta
            row = {
                **identify(item),
                "prompt": self.prompt,
                **image_metrics(result["pred"], result["label"], self.class_names, pixel_spacing(meta)),
            }
            self.latest.append(row)
            self.write({**row, **{name: item.get(name, "") for name in self.carried}})
        processes, rank = idist.get_world_size(), idist.get_rank()
        self.places = [(self._done + i) * processes + rank for i in range(len(self.latest))]
        self._done += len(self.latest)

    def write(self, row: Mapping[str, object]) -> None:
        """Add a row.

        Raises:
            BundleError: the disk is full.
        """
        with naming_full_disk(self.path, "evaluate again"):
            self._writer.writerow(row)
            self._file.flush()

    def completed(self, engine: Engine) -> None:
        self._file.close()
        seconds = np.concatenate(from_all(np.asarray(self.seconds)))
        parts = from_all(self._part)  # every file is whole from here on
        if idist.get_rank() > 0:
            return
        self.merge(parts)
        summary = summarize(self.rows())
        median = float(np.median(seconds)) if len(seconds) else None
        write_json(self.output_dir / "summary.json", {"groups": summary, "network_seconds_per_image": median})
        print(format_summary(summary, METRICS), flush=True)
        logging.getLogger("evaluation").info("written: %s", self.path)

    def merge(self, parts: Sequence[Path]) -> None:
        """Put the rows of all processes into the table, in the order of the data."""
        files = [part.open(newline="", **TEXT) for part in parts]
        with replacing(self.path) as partial, partial.open("w", newline="", **TEXT) as merged:
            headers = [file.readline() for file in files]
            merged.write(headers[0])
            readers = [csv.reader(file) for file in files]
            writer = csv.writer(merged)
            while rows := [row for row in (next(reader, None) for reader in readers) if row is not None]:
                writer.writerows(rows)
        for file, part in zip(files, parts):
            file.close()
            part.unlink()

    def rows(self) -> Iterator[dict[str, object]]:
        """All rows, from the file of a finished evaluation: id, dataset, part and prompt, and metrics as numbers."""
        kept = set(self.carried)
        with self.path.open(newline="", **TEXT) as file:
            for row in csv.DictReader(file):
                yield {
                    name: plain_cell(value) if name in IDENTIFYING else float(value)
                    for name, value in row.items()
                    if name not in kept and value != ""
                }


def identify(item: Mapping[str, object]) -> dict[str, str]:
    """id, dataset and part of a data item; a bare {"image", "label"} item is known by its file."""
    path = item["image"].meta.get("filename_or_obj", "")
    return {
        "id": item.get("id") or image_stem(path),
        "dataset": item.get("dataset") or Path(path).parent.name,
        "part": item.get("part") or "unseen",
    }
