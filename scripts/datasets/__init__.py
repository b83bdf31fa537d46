"""Published data sets as one manifest: declared layouts, conversion, and images that stand in more than one set."""

from .layouts import Layout, read_layout
from .prepare import prepare

__all__ = ["Layout", "prepare", "read_layout"]
