"""Lets `import torchvision` succeed where it was built for CUDA and torch was not.

Its compiled operators cannot be loaded then, and its Python part fails on those that it does not find declared. MONAI
Label needs the Python part alone. The server puts this folder on PYTHONPATH only where the import fails without it, and
so that the background processes of MONAI Label find it too.
"""

import sys


class DeclareOperators:
    """Declares the operators before torchvision is looked for."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            for operator in ("nms", "qnms"):
                torch.library.define(
                    f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )
        return None


sys.meta_path.insert(0, DeclareOperators())
