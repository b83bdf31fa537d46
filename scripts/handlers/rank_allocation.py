"""AdaLoRA's allocator and orthogonality term in MONAI's trainer."""

from __future__ import annotations

import logging
from pathlib import Path

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch import nn
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter

from ..adapters import RankAllocator, adapted_layers, orthogonality, rank_pattern
from ..reporting import plot_rank_pattern


class Orthogonality:
    """Adds gamma * sum(||P^T P - I||^2 + ||Q Q^T - I||^2) over all adapters to the loss, before the backward pass.

    Args:
        network: adapted network; a DistributedDataParallel wrapper is looked through.
        gamma: weight of the term, not negative (0.003 in AdaLoRA-QAT).
    """

    def __init__(self, network: nn.Module, gamma: float) -> None:
        if gamma < 0:
            raise ValueError(f"gamma must not be negative, got {gamma}")
        self.layers = list(adapted_layers(getattr(network, "module", network)).values())
        self.gamma = gamma

    def attach(self, trainer: Engine) -> None:
        """Register on a MONAI trainer."""
        trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, self.add_term)

    def add_term(self, trainer: Engine) -> None:
        trainer.state.output["loss"] = trainer.state.output["loss"] + self.gamma * orthogonality(self.layers)


class RankAllocation:
    """Steps the allocator after each optimiser step, logs budget and ranks, and draws the final rank pattern.

    The allocator is called from the optimiser's own post-step hook: by then gradients are accumulated over
    mini-batches, and averaged over processes.

    Args:
        allocator: of the network's adapted layers.
        optimizer: that trains them.
        network: adapted network; a DistributedDataParallel wrapper is looked through.
        log_dir: TensorBoard folder; the heat map rank_pattern.png is written there too.
    """

    def __init__(self, allocator: RankAllocator, optimizer: Optimizer, network: nn.Module, log_dir: str | Path) -> None:
        self.allocator = allocator
        self.optimizer = optimizer
        self.network = getattr(network, "module", network)
        self.log_dir = Path(log_dir)
        self.log = logging.getLogger("ranks")
        self._hook = None
        self._writer: SummaryWriter | None = None

    def attach(self, trainer: Engine) -> None:
        """Register on a MONAI trainer."""
        trainer.add_event_handler(Events.STARTED, self.started)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        trainer.add_event_handler(Events.COMPLETED, self.completed)

    def started(self, trainer: Engine) -> None:
        self._hook = self.optimizer.register_step_post_hook(lambda *_: self.allocator.step())
        if idist.get_rank() == 0:
            self._writer = SummaryWriter(str(self.log_dir))

    def epoch_completed(self, trainer: Engine) -> None:
        if self._writer is None:
            return
        ranks = rank_pattern(self.network)["ranks"]
        self._writer.add_scalar("rank_budget", self.allocator.budget, trainer.state.epoch)
        for name, rank in ranks.items():
            self._writer.add_scalar(f"rank/{name}", rank, trainer.state.epoch)
        self.log.info(
            "rank budget %d of %d, ranks %d to %d%s",
            self.allocator.budget,
            self.allocator.schedule.initial,
            min(ranks.values()),
            max(ranks.values()),
            ", final" if self.allocator.finished else "",
        )

    def completed(self, trainer: Engine) -> None:
        self._hook.remove()
        if self._writer is None:
            return
        self._writer.close()
        plot_rank_pattern(rank_pattern(self.network), self.log_dir / "rank_pattern.png")
