"""Stopping before a loss that is no number reaches the weights."""

from __future__ import annotations

import torch
from ignite.engine import Engine
from monai.engines import IterationEvents

from ..errors import BundleError


class FiniteLoss:
    """Raises `BundleError` with the ids of the batch if the loss is NaN or infinite, before the backward pass.

    Attach it after handlers that add terms to the loss.
    """

    def attach(self, trainer: Engine) -> None:
        """Register on a MONAI trainer."""
        trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, self.check)

    def check(self, trainer: Engine) -> None:
        loss = trainer.state.output["loss"].detach()
        if not torch.isfinite(loss):
            state, batch = trainer.state, trainer.state.batch
            names = batch.get("id", ()) if isinstance(batch, dict) else ()
            raise BundleError(
                f"the loss is {loss.item()} in epoch {state.epoch}, iteration {state.iteration}, on the images "
                f"{', '.join(map(str, names)) or 'of this batch'}; look at them, or lower learning rates"
            )
