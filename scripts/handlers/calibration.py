"""Calibration of activation ranges before stage 2 starts."""

from __future__ import annotations

from collections.abc import Iterable

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn

from ..quantization import activation_quantizers, calibrate


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

        calibrate(self.network, self.data_loader, forward, self.batches, self.percentile)
        if idist.get_world_size() > 1:
            # Each process saw other images; all go on with the ranges of the first.
            for quantizer in activation_quantizers(self.network).values():
                for bound in (quantizer.low, quantizer.high):
                    bound.data.copy_(idist.broadcast(bound.data, src=0))
