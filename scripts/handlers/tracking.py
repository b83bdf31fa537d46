"""Experiment tracking of both stages."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from ignite.engine import Engine
from monai.handlers import MLFlowHandler


class StageTracking:
    """Track a further engine as `--tracking mlflow` tracks the one of stage 1: the same server, a run of its own.

    MONAI adds an `MLFlowHandler` to the handlers of `train` and `validate`, and to no other. Without one among
    `handlers` nothing is tracked.

    Args:
        handlers: those of the engine that MONAI tracks.
    """

    def __init__(self, handlers: Sequence[object]) -> None:
        self.handlers = [copy.copy(handler) for handler in handlers if isinstance(handler, MLFlowHandler)]
        for handler in self.handlers:
            handler.cur_run = None  # stage 1 may be over by now

    def attach(self, engine: Engine) -> None:
        """Register on a trainer or an evaluator."""
        for handler in self.handlers:
            handler.attach(engine)
