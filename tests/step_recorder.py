"""A handler that notes what a training run does at each step, for runs in other processes."""

from __future__ import annotations

from pathlib import Path

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from scripts.adapters import RankAllocator
from scripts.handlers.progress import batch_loss


class StepRecorder:
    """Writes loss and rank masks of every iteration to `folder`/RANK.pt.

    Args:
        folder: to write to.
        allocator: whose masks are noted.
    """

    def __init__(self, folder: str | Path, allocator: RankAllocator) -> None:
        self.folder = Path(folder)
        self.allocator = allocator
        self.losses: list[float] = []
        self.masks: list[torch.Tensor] = []

    def attach(self, trainer: Engine) -> None:
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        trainer.add_event_handler(Events.COMPLETED, self.completed)

    def iteration_completed(self, trainer: Engine) -> None:
        self.losses.append(batch_loss(trainer))
        self.masks.append(torch.cat([layer.rank_mask for layer in self.allocator.layers.values()]))

    def completed(self, trainer: Engine) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {"losses": self.losses, "masks": torch.stack(self.masks)}
        torch.save(record, self.folder / f"{idist.get_rank()}.pt")
