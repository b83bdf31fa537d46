"""The fake-quantized layer: a linear or convolution layer as its integer kernel will compute it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ..adapters import AdaLoRALinear
from .fake_quantizers import ActivationFakeQuantizer, WeightFakeQuantizer
from .policy import Precision
from .straight_through import ThroughMergedWeight

QUANTIZABLE = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def round_bias(bias: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The bias on the int32 grid of its accumulator (scale of input x scale of weight), straight-through gradient."""
    on_grid = torch.round(bias / scale).clamp(-(2.0**31), 2.0**31 - 1) * scale
    return bias + (on_grid - bias).detach()


class FakeQuantizedLayer(nn.Module):
    """Wraps a layer and fake-quantizes its input, weight, bias and, where the policy says so, its output.

    An adapted layer is quantized as its merged weight W + dW, so that training sees exactly the weight that ships, and
    its adapter gets the gradient of that weight.

    Args:
        layer: `nn.Linear`, `AdaLoRALinear`, `nn.Conv2d` or `nn.ConvTranspose2d`.
        precision: bits of weight, input and output; None leaves one in floating point.
    """

    def __init__(self, layer: nn.Module, precision: Precision) -> None:
        super().__init__()
        if not isinstance(layer, QUANTIZABLE):
            raise TypeError(f"cannot quantize a {type(layer).__name__}")
        if precision.weight is None:
            raise ValueError("a fake-quantized layer needs bits for its weight")
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and layer.padding_mode != "zeros":
            raise ValueError(f"cannot quantize padding mode {layer.padding_mode!r}")
        if isinstance(layer, nn.ConvTranspose2d) and layer.groups != 1:
            raise ValueError("cannot quantize a grouped transposed convolution per output channel")
        self.layer = layer
        axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        self.weight_quantizer = WeightFakeQuantizer(precision.weight, axis)
        self.input_quantizer = ActivationFakeQuantizer(precision.input) if precision.input else None
        self.output_quantizer = ActivationFakeQuantizer(precision.output) if precision.output else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shapes as the wrapped layer."""
        layer = self.layer
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._thin):
            weight = layer.merged_weight() if isinstance(layer, AdaLoRALinear) else layer.weight
            weight_scale = self.weight_quantizer.scale(weight)
            weight = self.weight_quantizer(weight, weight_scale)
        bias = layer.bias
        if self.input_quantizer is not None:
            x = self.input_quantizer(x)
            if bias is not None and self.input_quantizer.active:
                bias = round_bias(bias, self.input_quantizer.qparams()[0].detach() * weight_scale)
        x = self._compute(x, weight, bias)
        return x if self.output_quantizer is None else self.output_quantizer(x)

    @property
    def _thin(self) -> bool:
        """Whether an adapter alone needs the gradient of the weight, so that its thin factors suffice."""
        layer = self.layer
        return isinstance(layer, AdaLoRALinear) and any(layer.ranks) and not layer.weight.requires_grad

    def _compute(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        layer = self.layer
        if self._thin:
            return ThroughMergedWeight.apply(x, weight, bias, layer.left(), layer.values(), layer.adapter_Q)
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, bias)
        if isinstance(layer, nn.Conv2d):
            return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        return F.conv_transpose2d(
            x, weight, bias, layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation
        )
