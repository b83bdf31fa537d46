"""Predicted masks of an evaluation as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image

from ..files import replacing
from .table import MetricsTable


class MaskFiles:
    """Writes each predicted mask as ID.png at the image's own size: 0 background, 255 one class, else class numbers.

    Args:
        folder: to write to.
        table: of the same evaluation, attached before this handler; it knows the ids.
    """

    def __init__(self, folder: str | Path, table: MetricsTable) -> None:
        self.folder = Path(folder)
        self.table = table

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI evaluator."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)

    def iteration_completed(self, engine: Engine) -> None:
        for row, result in zip(self.table.latest, engine.state.output):
            channels = torch.as_tensor(result["pred"]).cpu() > 0.5
            numbers = torch.arange(1, len(channels) + 1).view(-1, 1, 1)
            mask = (channels * (numbers if len(channels) > 1 else 255)).amax(dim=0).numpy().astype(np.uint8)
            with replacing(self.folder / f"{row['id']}.png") as partial:
                Image.fromarray(mask).save(partial, format="PNG")
