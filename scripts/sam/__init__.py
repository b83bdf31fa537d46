"""Base models: Segment Anything with one image tensor in and class logits out."""

from .architectures import ARCHITECTURES, Architecture, build_sam, dividing_window
from .network import SAM
from .weights import load_base_weights, save_weights

__all__ = ["ARCHITECTURES", "Architecture", "SAM", "build_sam", "dividing_window", "load_base_weights", "save_weights"]
