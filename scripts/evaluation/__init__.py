"""Metrics of single images, their summary, and the handlers that write both."""

from .handlers import MetricsTable, OverlaySheet
from .metrics import METRICS, image_metrics, pixel_spacing
from .summary import format_summary, summarize

__all__ = ["METRICS", "MetricsTable", "OverlaySheet", "format_summary", "image_metrics", "pixel_spacing", "summarize"]
