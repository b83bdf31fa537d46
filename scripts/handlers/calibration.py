"""Calibration of activation ranges before stage 2 starts."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from ignite.engine import Engine, Events
from torch import nn

from ..quantization import calibrate


class Calibration:
    """Calibrates the network when training starts, on the trainer's device and with its batches' prompts.

    Args:
        network: prepared network; a DistributedDataParallel wrapper is looked through.
        data_loader: whose batches are used.
        batches: number of batches.
        percentile: see `quantization.calibrate`.
    """

    def __init__(
        self, network: nn.Module, data_loader: Iterable, batches: int, percentile: float | None = 99.99
    ) -> None:
        self.network = getattr(network, "module", network)
        self.data_loader = data_loader
        self.batches = batches
        self.percentile = percentile

    def attach(self, trainer: Engine) -> None:
        """Register on a MONAI trainer; attach it before handlers that restore a checkpoint."""
        trainer.add_event_handler(Events.STARTED, self.started)

    def started(self, trainer: Engine) -> None:
        def forward(batch) -> torch.Tensor:
            image, _, args, kwargs = trainer.prepare_batch(batch, trainer.state.device, trainer.non_blocking)
            return self.network(image, *args, **kwargs)

        sampler = getattr(self.data_loader, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(0)  # the same images whether stage 1 ran in this process or in an earlier one
        calibrate(self.network, self.data_loader, forward, self.batches, self.percentile)
