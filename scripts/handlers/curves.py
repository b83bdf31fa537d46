"""Loss and validation metrics of every epoch, kept as a file and a picture."""

from __future__ import annotations

import json
from pathlib import Path

import ignite.distributed as idist
from ignite.engine import Engine, Events

from ..files import write_json
from ..reporting import plot_curves
from .progress import batch_loss


class TrainingCurves:
    """Writes `curves.json` and `curves.png` into `output_dir` after every epoch.

    A resumed run continues the file. The loss is the mean over the batches of all processes.

    Args:
        output_dir: folder for both files.
        evaluator: its metrics are taken; attach this handler after the validation handler.
        title: over the picture.
    """

    def __init__(self, output_dir: str | Path, evaluator: Engine, title: str) -> None:
        self.output_dir = Path(output_dir)
        self.evaluator = evaluator
        self.title = title
        self.history: list[dict] = []
        self._loss_sum, self._count = 0.0, 0

    def attach(self, trainer: Engine) -> None:
        """Register on a MONAI trainer."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)

    def epoch_started(self, trainer: Engine) -> None:
        self._loss_sum, self._count = 0.0, 0
        path = self.output_dir / "curves.json"
        if not self.history and trainer.state.epoch > 1 and path.is_file():
            self.history = [row for row in json.loads(path.read_text()) if row["epoch"] < trainer.state.epoch]

    def iteration_completed(self, trainer: Engine) -> None:
        self._loss_sum += batch_loss(trainer)
        self._count += 1

    def epoch_completed(self, trainer: Engine) -> None:
        loss, count = idist.all_reduce(self._loss_sum), idist.all_reduce(self._count)
        row = {"epoch": trainer.state.epoch, "loss": loss / max(1, count)}
        if self.evaluator.state.epoch == trainer.state.epoch:
            row |= {name: value for name, value in self.evaluator.state.metrics.items() if isinstance(value, float)}
        self.history.append(row)
        if idist.get_rank() > 0:
            return
        write_json(self.output_dir / "curves.json", self.history)
        plot_curves(self.history, self.output_dir / "curves.png", self.title)
