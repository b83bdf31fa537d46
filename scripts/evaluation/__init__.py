"""Metrics of single images, their summary, and the handlers that write both."""

from .masks import MaskFiles
from .metrics import METRICS, image_metrics
from .pictures import OverlaySheet, Report
from .running_dice import RunningDice
from .summary import format_summary, summarize
from .table import MetricsTable

__all__ = [
    "METRICS",
    "MaskFiles",
    "MetricsTable",
    "OverlaySheet",
    "Report",
    "RunningDice",
    "format_summary",
    "image_metrics",
    "summarize",
]
