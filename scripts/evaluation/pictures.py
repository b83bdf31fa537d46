"""Overlays of an evaluation, and its report."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image

from ..data import LoadRadiographd
from ..reporting import join_panels, overlay_panel, overlay_sheet, write_report
from .metrics import METRICS
from .summary import summarize
from .table import MetricsTable

PANEL_SIDE = 256
MEDIAN_POOL = 200


@dataclass(frozen=True)
class Segmented:
    """One image of an evaluation, small enough to be kept: packed masks at the size of a panel."""

    path: str
    caption: str
    dice: float
    shape: tuple[int, ...]
    masks: np.ndarray

    @classmethod
    def of(cls, item: Mapping, result: Mapping[str, torch.Tensor], row: Mapping[str, object]) -> Segmented:
        masks = torch.stack([torch.as_tensor(result[key]) > 0.5 for key in ("pred", "label")]).cpu().float()
        scale = min(1.0, PANEL_SIDE / max(masks.shape[-2:]))
        masks = torch.nn.functional.interpolate(masks, scale_factor=scale, mode="nearest-exact").numpy() > 0.5
        caption = f"{row['id']}  Dice {row['dice']:.3f}"
        return cls(item["image"].meta["filename_or_obj"], caption, row["dice"], masks.shape, np.packbits(masks))

    def panel(self, load: LoadRadiographd) -> Image.Image:
        pred, label = np.unpackbits(self.masks, count=int(np.prod(self.shape))).reshape(self.shape).astype(bool)
        return overlay_panel(load.load_one(self.path)[0].numpy().T, pred, label, self.caption, PANEL_SIDE)


class OverlaySheet:
    """Draws predicted and true outlines of images spread evenly over the data set into one picture.

    Args:
        path: PNG to write.
        table: of the same evaluation, attached before this handler.
        total: number of images in the evaluation.
        count: number of images to draw.
    """

    def __init__(self, path: str | Path, table: MetricsTable, total: int, count: int) -> None:
        self.path = Path(path)
        self.table = table
        count = min(count, total)
        self.chosen = set(np.linspace(0, total - 1, count).round().astype(int).tolist()) if total else set()
        self.panels: list[Image.Image] = []
        self.load = LoadRadiographd("image")

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI evaluator."""
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Engine) -> None:
        self.panels = []

    def iteration_completed(self, engine: Engine) -> None:
        first = len(self.table.rows) - len(engine.state.output)
        for i, (item, result) in enumerate(zip(engine.state.batch, engine.state.output), start=first):
            if i in self.chosen:
                self.panels.append(Segmented.of(item, result, self.table.rows[i]).panel(self.load))

    def completed(self, engine: Engine) -> None:
        if self.panels:
            overlay_sheet(self.panels, self.path)
            logging.getLogger("evaluation").info("overlays (green: truth, red: prediction): %s", self.path)


class Report:
    """Writes the evaluation as one HTML file: summary, distributions, best, median and worst images, training curves.

    Memory is bounded: of each data set the extremes and the first images are kept.

    Args:
        path: HTML file.
        table: of the same evaluation, attached before this handler.
        title: heading.
        count: number of best, of median and of worst images of each data set.
        pictures: PNG files of the training run to show where they exist.
    """

    def __init__(
        self, path: str | Path, table: MetricsTable, title: str, count: int, pictures: Sequence[str | Path] = ()
    ) -> None:
        self.path = Path(path)
        self.table = table
        self.title = title
        self.count = count
        self.pictures = [Path(picture) for picture in pictures]
        self.extremes: dict[str, list[Segmented]] = {}
        self.pool: dict[str, list[Segmented]] = {}
        self.load = LoadRadiographd("image")

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI evaluator."""
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Engine) -> None:
        self.extremes, self.pool = {}, {}

    def iteration_completed(self, engine: Engine) -> None:
        rows = self.table.rows[-len(engine.state.output) :]
        for item, result, row in zip(engine.state.batch, engine.state.output, rows):
            if np.isnan(row["dice"]):
                continue
            image, name = Segmented.of(item, result, row), f"{row['dataset']}, {row['part']}"
            pool = self.pool.setdefault(name, [])
            if len(pool) < MEDIAN_POOL:
                pool.append(image)
            extremes = sorted([*self.extremes.get(name, ()), image], key=lambda kept: kept.dice)
            if len(extremes) > 2 * self.count:
                del extremes[self.count]
            self.extremes[name] = extremes

    def overlays(self) -> list[tuple[str, Image.Image]]:
        """Best, median and worst images of each data set."""
        chosen = []
        for name, extremes in self.extremes.items():
            median = np.median([image.dice for image in self.pool[name]])
            middle = sorted(self.pool[name], key=lambda image: abs(image.dice - median))[: self.count]
            best, worst = extremes[::-1][: self.count], extremes[: self.count]
            for kind, images in (("best", best), ("median", middle), ("worst", worst)):
                panels = [image.panel(self.load) for image in images]
                chosen.append((f"{name}: {kind}", join_panels(panels, columns=self.count)))
        return chosen

    def completed(self, engine: Engine) -> None:
        pictures = [(f"{picture.parent.name}: {picture.stem}", picture) for picture in self.pictures]
        rows = self.table.rows
        write_report(self.path, self.title, rows, summarize(rows), METRICS, self.overlays(), pictures)
        logging.getLogger("evaluation").info("report: %s", self.path)
