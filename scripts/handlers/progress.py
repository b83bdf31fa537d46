"""Progress of long work in the log: where it stands, how good it is, how long it takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events


def format_seconds(seconds: float) -> str:
    """Duration for people: 45 s, 12 min 30 s, 3 h 05 min."""
    seconds = int(round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def batch_loss(engine: Engine) -> float | None:
    """The loss of a trainer's last batch, whether its output is decollated or not; None for an evaluator."""
    output = engine.state.output
    if isinstance(output, Sequence) and output:
        output = output[0]
    return torch.as_tensor(output["loss"]).item() if isinstance(output, Mapping) and "loss" in output else None


class Progress:
    """Log a line every few seconds, one line an epoch, and one at the end.

    Args:
        name: what runs, at the start of each line ("stage 1").
        evaluator: its metrics are logged after each validation; None for none.
        interval_s: least number of seconds between two lines within an epoch.
        logger: name of the logger.
    """

    def __init__(
        self, name: str, evaluator: Engine | None = None, interval_s: float = 10.0, logger: str = "progress"
    ) -> None:
        self.name = name
        self.evaluator = evaluator
        self.interval_s = interval_s
        self.log = logging.getLogger(logger)
        self._begun = self._last_line = 0.0
        self._first_iteration = 0
        self._loss_sum, self._loss_count = 0.0, 0

    def attach(self, engine: Engine) -> None:
        """Register on a trainer or an evaluator; one process of several reports."""
        if idist.get_rank() > 0:
            return
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.COMPLETED, self.validated)

    def started(self, engine: Engine) -> None:
        self._begun = self._last_line = time.monotonic()
        self._first_iteration = engine.state.iteration

    def iteration_completed(self, engine: Engine) -> None:
        loss = batch_loss(engine)
        if loss is not None:
            self._loss_sum += loss
            self._loss_count += 1
        now = time.monotonic()
        if now - self._last_line >= self.interval_s:
            self._last_line = now
            within = (engine.state.iteration - 1) % engine.state.epoch_length + 1
            self.log.info(
                "%s, iteration %d/%d%s", self._position(engine), within, engine.state.epoch_length, self._loss()
            )

    def epoch_completed(self, engine: Engine) -> None:
        if self._loss_count:
            self.log.info("%s done%s", self._position(engine), self._loss())
        self._loss_sum, self._loss_count = 0.0, 0

    def completed(self, engine: Engine) -> None:
        done, seconds = engine.state.iteration - self._first_iteration, time.monotonic() - self._begun
        self.log.info("%s: finished, %d iterations in %s", self.name, done, format_seconds(seconds))

    def validated(self, evaluator: Engine) -> None:
        figures = ", ".join(
            f"{name} {value:.4f}" for name, value in evaluator.state.metrics.items() if isinstance(value, float)
        )
        self.log.info("%s: validation %s", self.name, figures)

    def _loss(self) -> str:
        return f", loss {self._loss_sum / self._loss_count:.4f}" if self._loss_count else ""

    def _position(self, engine: Engine) -> str:
        state = engine.state
        done = state.iteration - self._first_iteration
        left = state.max_epochs * state.epoch_length - state.iteration
        remaining = (time.monotonic() - self._begun) / max(1, done) * left
        epoch = f" epoch {state.epoch}/{state.max_epochs}" if state.max_epochs > 1 else ""
        return f"{self.name}:{epoch} [{format_seconds(remaining)} left]"
