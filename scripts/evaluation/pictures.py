"""Overlays of an evaluation, and its report."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image

from ..data import LoadRadiographd
from ..reporting import join_panels, overlay_panel, overlay_sheet, write_report
from .metrics import METRICS
from .processes import from_all
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
        self.panels: dict[int, Image.Image] = {}
        self.load = LoadRadiographd("image")

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI evaluator."""
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, engine: Engine) -> None:
        self.panels = {}

    def iteration_completed(self, engine: Engine) -> None:
        for place, row, item, result in zip(
            self.table.places, self.table.latest, engine.state.batch, engine.state.output
        ):
            if place in self.chosen:
                self.panels[place] = Segmented.of(item, result, row).panel(self.load)

    def completed(self, engine: Engine) -> None:
        panels = {place: panel for share in from_all(self.panels) for place, panel in share.items()}
        if panels and idist.get_rank() == 0:
            overlay_sheet([panels[place] for place in sorted(panels)], self.path)
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
        for item, result, row in zip(engine.state.batch, engine.state.output, self.table.latest):
            if np.isnan(row["dice"]):
                continue
            image, name = Segmented.of(item, result, row), f"{row['dataset']}, {row['part']}"
            pool = self.pool.setdefault(name, [])
            if len(pool) < MEDIAN_POOL:
                pool.append(image)
            self.extremes[name] = self.outermost([*self.extremes.get(name, ()), image])

    def outermost(self, images: Sequence[Segmented]) -> list[Segmented]:
        """The worst `count` and the best `count` of `images`, the worst first."""
        ordered = sorted(images, key=lambda image: image.dice)
        return ordered if len(ordered) <= 2 * self.count else ordered[: self.count] + ordered[-self.count :]

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
        shares = from_all((self.extremes, self.pool))
        if idist.get_rank() > 0:
            return
        names = sorted({name for extremes, _ in shares for name in extremes})
        self.extremes = {
            name: self.outermost([i for share, _ in shares for i in share.get(name, ())]) for name in names
        }
        self.pool = {name: [i for _, share in shares for i in share.get(name, ())] for name in names}
        pictures = [(f"{picture.parent.name}: {picture.stem}", picture) for picture in self.pictures]
        groups = summarize(self.table.rows())
        write_report(self.path, self.title, self.table.rows(), groups, METRICS, self.overlays(), pictures)
        logging.getLogger("evaluation").info("report: %s", self.path)
