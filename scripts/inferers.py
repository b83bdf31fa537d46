"""How a network is called: in which precision, and with which prompt."""

from __future__ import annotations

import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer
from torch import nn

from .data.prompts import PROMPT_BOX
from .errors import BundleError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class MixedPrecisionInferer(SimpleInferer):
    """Call the network under autocast, on whichever device the images are, and return float32 logits.

    MONAI's `amp` casts on CUDA only. bfloat16 keeps float32's exponents, so gradients need no scaler; it pays where
    the hardware multiplies it natively (NVIDIA from Ampere on, CPUs with avx512_bf16 or AMX).

    Args:
        precision: "float32" (no cast) or "bfloat16".

    Raises:
        BundleError: unknown precision.
    """

    def __init__(self, precision: str = "float32") -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise BundleError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
        self.dtype = PRECISIONS[precision]

    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args, **kwargs) -> torch.Tensor:
        with torch.autocast(inputs.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return super().__call__(inputs, network, *args, **kwargs).float()


class PromptedInferer(SimpleInferer):
    """Call the network with the prompt box that the images' metadata hold, or else with the images alone.

    MONAI Label hands an inferer nothing but the images.
    """

    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args, **kwargs) -> torch.Tensor:
        if not args and isinstance(inputs, MetaTensor) and PROMPT_BOX in inputs.meta:
            args = (inputs.meta[PROMPT_BOX].reshape(-1, 4).to(inputs.device),)
        return super().__call__(inputs, network, *args, **kwargs)
