"""Ignite handlers that wire this bundle's parts into MONAI's trainers."""

from .accumulation import AccumulatedMean, LearningRate
from .calibration import Calibration
from .checkpoints import StageCheckpoint
from .curves import TrainingCurves
from .finite_loss import FiniteLoss
from .progress import Progress
from .rank_allocation import Orthogonality, RankAllocation
from .tracking import StageTracking

__all__ = [
    "AccumulatedMean",
    "Calibration",
    "FiniteLoss",
    "LearningRate",
    "Orthogonality",
    "Progress",
    "RankAllocation",
    "StageCheckpoint",
    "StageTracking",
    "TrainingCurves",
]
