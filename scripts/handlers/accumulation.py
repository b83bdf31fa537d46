"""Gradient accumulation that equals the large batch."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class LearningRate:
    """Steps a schedule after each step of its optimiser.

    MONAI's `LrScheduleHandler` counts mini-batches, of which several make up a step where gradients are accumulated.

    Args:
        lr_scheduler: over optimiser steps.
        optimizer: whose learning rates it sets.
    """

    def __init__(self, lr_scheduler: LRScheduler, optimizer: Optimizer) -> None:
        self.lr_scheduler = lr_scheduler
        self.optimizer = optimizer
        self._hook = None

    def attach(self, trainer: Engine) -> None:
        """Register on a trainer."""
        trainer.add_event_handler(Events.STARTED, self.started)
        trainer.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, trainer: Engine) -> None:
        self._hook = self.optimizer.register_step_post_hook(lambda *_: self.lr_scheduler.step())

    def completed(self, trainer: Engine) -> None:
        self._hook.remove()


class AccumulatedMean:
    """Weighs mini-batches so that accumulated gradients are the mean over all images of a step.

    MONAI's trainer divides each loss by `accumulation_steps`; at the end of an epoch a step may have fewer
    mini-batches, and its last one fewer images. The loss in the trainer's output stays as it is.

    Args:
        accumulation_steps: mini-batches that make up an optimiser step.
        batch_size: images of a whole mini-batch in this process.
        images: of an epoch in this process.
    """

    def __init__(self, accumulation_steps: int, batch_size: int, images: int) -> None:
        self.accumulation_steps = accumulation_steps
        self.batch_size = batch_size
        self.images = images
        self._unweighted = None

    def attach(self, trainer: Engine) -> None:
        """Register on a MONAI trainer, after handlers that add terms to the loss."""
        if self.accumulation_steps > 1:
            trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, self.weigh)
            trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self.restore)

    def weight(self, place: int) -> float:
        """Weight of the mini-batch at `place` in an epoch, counted from 0; 1 in all but the last step."""
        first = place - place % self.accumulation_steps
        left = self.images - first * self.batch_size  # from the first mini-batch of this step on
        of_step = min(left, self.accumulation_steps * self.batch_size)
        own = min(self.images - place * self.batch_size, self.batch_size)
        return self.accumulation_steps * own / of_step

    def weigh(self, trainer: Engine) -> None:
        output, state = trainer.state.output, trainer.state
        self._unweighted = output["loss"]
        output["loss"] = output["loss"] * self.weight((state.iteration - 1) % state.epoch_length)

    def restore(self, trainer: Engine) -> None:
        trainer.state.output["loss"] = self._unweighted.detach()
