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


def mini_batch_weight(place: int, accumulation_steps: int, batch_size: int, images: int) -> float:
    """How much the mean loss of a mini-batch counts in its optimiser step, 1 in all but the last step of an epoch.

    Args:
        place: of the mini-batch in the epoch, counted from 0.
        accumulation_steps: mini-batches that make up a step.
        batch_size: images of a whole mini-batch.
        images: of the epoch.
    """
    first = place - place % accumulation_steps
    of_step = min(images - first * batch_size, accumulation_steps * batch_size)
    own = min(images - place * batch_size, batch_size)
    return accumulation_steps * own / of_step


class AccumulatedMean:
    """Weighs mini-batches so that accumulated gradients are the mean over all images of a step.

    MONAI's trainer divides each loss by `accumulation_steps`; at the end of an epoch a step may have fewer
    mini-batches, and its last one fewer images. The loss in the trainer's output stays as it is.
    """

    def __init__(self) -> None:
        self._unweighted = None

    def attach(self, trainer: Engine) -> None:
        """Register on a MONAI trainer, after handlers that add terms to the loss."""
        trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, self.weigh)
        trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self.restore)

    def weigh(self, trainer: Engine) -> None:
        output, state, loader = trainer.state.output, trainer.state, trainer.data_loader
        place = (state.iteration - 1) % state.epoch_length
        self._unweighted = output["loss"]
        output["loss"] = output["loss"] * mini_batch_weight(
            place, trainer.accumulation_steps, loader.batch_size, len(loader.sampler)
        )

    def restore(self, trainer: Engine) -> None:
        trainer.state.output["loss"] = self._unweighted.detach()
