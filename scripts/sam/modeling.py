"""The components of `segment_anything.modeling`, importable without torchvision.

`import segment_anything` also imports its predictor, which needs torchvision. Where torchvision is missing or was
built for another torch, only the modeling subpackage is loaded; it needs nothing but torch.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

try:
    import segment_anything  # noqa: F401
except (ImportError, RuntimeError):  # RuntimeError: CUDA-built torchvision beside CPU torch
    spec = importlib.util.find_spec("segment_anything")
    if spec is None:
        raise
    package = ModuleType("segment_anything")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    for name in [name for name in sys.modules if name.split(".")[0] == "segment_anything"]:
        del sys.modules[name]
    sys.modules["segment_anything"] = package

from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer  # noqa: E402
from segment_anything.modeling.image_encoder import Attention, get_rel_pos  # noqa: E402

__all__ = ["Attention", "ImageEncoderViT", "MaskDecoder", "PromptEncoder", "TwoWayTransformer", "get_rel_pos"]
