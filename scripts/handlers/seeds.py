"""Randomness that depends on seed and epoch alone, so that a resumed run draws what the uninterrupted one drew."""

from __future__ import annotations

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd


class EpochSeeds:
    """Seeds the transforms of a data set anew at the start of every epoch.

    Transforms keep random states of their own, which no checkpoint holds. With worker processes MONAI's loader seeds
    their copies from torch's generator, whose state the checkpoint does hold.

    Args:
        dataset: of the training data loader.
        seed: not negative; each process of several adds its rank.
    """

    def __init__(self, dataset: object, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def attach(self, trainer: Engine) -> None:
        """Register on a MONAI trainer."""
        trainer.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)

    def epoch_started(self, trainer: Engine) -> None:
        # Large odd multipliers keep (seed, rank, epoch) apart; the generators take 32 bits.
        mixed = self.seed * 1_000_003 + idist.get_rank() * 10_007 + trainer.state.epoch * 7_919
        set_rnd(self.dataset, mixed % 2**32)
