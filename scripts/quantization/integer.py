"""The quantized network as it ships: integers and scales in place of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ..adapters import merge
from ..errors import BundleError, CheckpointMismatch
from .layers import FakeQuantizedLayer
from .network import activation_quantizers, check_policy, quantized_layers
from .policy import Precision, PrecisionPolicy
from .qparams import quantize, signed_range, unsigned_range

OPTIONS = {
    nn.Linear: (),
    nn.Conv2d: ("stride", "padding", "dilation", "groups"),
    nn.ConvTranspose2d: ("stride", "padding", "output_padding", "groups", "dilation"),
}


class IntegerLayer(nn.Module):
    """A linear or convolution layer of int8 weights, an int32 bias and the quantization parameters of activations.

    Computes what the `FakeQuantizedLayer` it was made from computes; exported to ONNX, it becomes pairs of
    QuantizeLinear and DequantizeLinear that a runtime replaces by its integer kernel.

    Attributes:
        weight: int8, of the shape of the layer's weight; real weight = weight * weight_scale along the output channels.
        weight_scale: one float a channel.
        bias: int32 of scale input_scale * weight_scale where the input is quantized, else floating point; or None.
        input_scale, input_zero_point, output_scale, output_zero_point: shape [1]; None where not quantized.
        weight_bits, input_bits, output_bits: constants of the build.

    Args:
        layer: the layer it stands for; only its shapes and options are taken.
        precision: bits; the weight must be quantized.
    """

    constants = ("weight_bits", "input_bits", "output_bits")

    def __init__(self, layer: nn.Module, precision: Precision) -> None:
        super().__init__()
        self.kind = type(layer)
        self.options = {name: getattr(layer, name) for name in OPTIONS[self.kind]}
        self.axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        self.precision = precision
        channels = layer.weight.shape[self.axis]
        self.register_buffer("weight", torch.zeros(layer.weight.shape, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(channels))
        bias_type = torch.int32 if precision.input else torch.float32
        self.register_buffer("bias", None if layer.bias is None else torch.zeros(channels, dtype=bias_type))
        for name, bits in (("input", precision.input), ("output", precision.output)):
            self.register_buffer(f"{name}_scale", torch.ones(1) if bits else None)
            self.register_buffer(f"{name}_zero_point", torch.zeros(1, dtype=torch.int32) if bits else None)
            self.register_buffer(f"{name}_bits", torch.tensor(bits or 32))
        self.register_buffer("weight_bits", torch.tensor(precision.weight))

    @classmethod
    @torch.no_grad()
    def of(cls, layer: FakeQuantizedLayer) -> IntegerLayer:
        """The integers that `layer`, whose adapters are merged, rounds to."""
        plain, quantizers = layer.layer, (layer.input_quantizer, layer.output_quantizer)
        bits = [None if quantizer is None else quantizer.bits for quantizer in quantizers]
        integer = cls(plain, Precision(layer.weight_quantizer.bits, *bits)).to(plain.weight.device)
        scale = layer.weight_quantizer.scale(plain.weight)
        shape = [-1 if axis == integer.axis else 1 for axis in range(plain.weight.ndim)]
        first, last = signed_range(layer.weight_quantizer.bits)
        integer.weight.copy_(quantize(plain.weight, scale.view(shape), 0, first, last))
        integer.weight_scale.copy_(scale)
        for name, quantizer in zip(("input", "output"), quantizers):
            if quantizer is None:
                continue
            step, zero_point = quantizer.qparams()
            getattr(integer, f"{name}_scale").copy_(step)
            getattr(integer, f"{name}_zero_point").copy_(zero_point.round())
        if plain.bias is not None:
            bias = plain.bias
            if integer.input_scale is not None:
                # In double precision, since float32 cannot hold the largest int32.
                bias = (bias / (integer.input_scale * scale)).round().double().clamp(-(2**31), 2**31 - 1)
            integer.bias.copy_(bias)
        return integer

    def real_weight(self) -> torch.Tensor:
        """The weight in floating point."""
        shape = [-1 if axis == self.axis else 1 for axis in range(self.weight.ndim)]
        return self.weight * self.weight_scale.view(shape)

    def real_bias(self) -> torch.Tensor | None:
        """The bias in floating point."""
        if self.bias is None or self.input_scale is None:
            return self.bias
        return self.bias * (self.input_scale * self.weight_scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shapes as the layer it stands for."""
        if torch.onnx.is_in_onnx_export():
            return self.forward_onnx(x)
        if self.input_scale is not None:
            x = self.on_grid(x, "input")
        x = self.compute(x, self.real_weight(), self.real_bias())
        return x if self.output_scale is None else self.on_grid(x, "output")

    def on_grid(self, x: torch.Tensor, side: str) -> torch.Tensor:
        scale, zero_point = getattr(self, f"{side}_scale"), getattr(self, f"{side}_zero_point")
        last = unsigned_range(getattr(self.precision, side))
        return torch.fake_quantize_per_tensor_affine(x.float(), scale, zero_point, *last).to(x.dtype)

    def compute(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if self.kind is nn.Linear:
            return F.linear(x, weight, bias)
        function = F.conv2d if self.kind is nn.Conv2d else F.conv_transpose2d
        return function(x, weight, bias, **self.options)

    def forward_onnx(self, x: torch.Tensor) -> torch.Tensor:
        """The same in ONNX's own operators, for the exporter to trace."""
        if self.input_scale is not None:
            x = self.quantize_dequantize(x, "input")
        if self.kind is nn.Linear:
            # ONNX's MatMul takes the weight as inputs x outputs.
            weight = dequantize_linear(self.weight.t().contiguous(), self.weight_scale, axis=1)
            # With an axis more, since ONNX Runtime fuses a plain matrix product with its bias before it looks for
            # integer kernels, and then finds none.
            flat = x.ndim == 2
            x = (x.unsqueeze(0) if flat else x) @ weight
            if self.bias is not None:
                x = x + self.onnx_bias()
            x = x.squeeze(0) if flat else x
        else:
            weight = dequantize_linear(self.weight, self.weight_scale, axis=self.axis)
            x = self.compute(x, weight, None if self.bias is None else self.onnx_bias())
        return x if self.output_scale is None else self.quantize_dequantize(x, "output")

    def onnx_bias(self) -> torch.Tensor:
        if self.input_scale is None:
            return self.bias
        return dequantize_linear(self.bias, self.input_scale * self.weight_scale, axis=0)

    def quantize_dequantize(self, x: torch.Tensor, side: str) -> torch.Tensor:
        scale = getattr(self, f"{side}_scale").reshape(())
        zero_point = getattr(self, f"{side}_zero_point").to(torch.uint8).reshape(())
        bits = getattr(self.precision, side)
        if bits < 8:  # QuantizeLinear clips at 255 only
            x = torch.minimum(x, scale * (unsigned_range(bits)[1] - zero_point.to(x.dtype)))
        integers = torch.onnx.ops.symbolic(
            "QuantizeLinear", (x, scale, zero_point), dtype=torch.uint8, shape=x.shape, version=21
        )
        return torch.onnx.ops.symbolic(
            "DequantizeLinear", (integers, scale, zero_point), dtype=torch.float32, shape=x.shape, version=21
        )

    def extra_repr(self) -> str:
        bits = self.precision
        return f"{self.kind.__name__}, weight={bits.weight}, input={bits.input}, output={bits.output}"


def dequantize_linear(integers: torch.Tensor, scale: torch.Tensor, axis: int) -> torch.Tensor:
    """ONNX's DequantizeLinear with zero point 0, one scale an entry along `axis`; for the exporter to trace."""
    return torch.onnx.ops.symbolic(
        "DequantizeLinear", (integers, scale), {"axis": axis}, dtype=torch.float32, shape=integers.shape, version=21
    )


def to_integer(network: nn.Module) -> nn.Module:
    """A copy of a fake-quantized network with adapters merged and integers in place of its quantized layers.

    Raises:
        BundleError: activations are quantized, but no range is known yet.
    """
    quantizers = activation_quantizers(network).values()
    if quantizers and not any(quantizer.active for quantizer in quantizers):
        raise BundleError("no activation range is calibrated yet; calibrate the network, or load calibrated weights")
    integer = merge(network)
    for name, layer in quantized_layers(integer).items():
        integer.set_submodule(name, IntegerLayer.of(layer))
    return integer.requires_grad_(False)


def integer_network(network: nn.Module, policy: PrecisionPolicy | Sequence | str | Path) -> nn.Module:
    """The network that a checkpoint of `to_integer` fits: the same layers, empty. Changes `network` in place.

    Args:
        network: plain network.
        policy: see `check_policy`.
    """
    for name, precision in check_policy(network, policy).items():
        if precision.quantized:
            network.set_submodule(name, IntegerLayer(network.get_submodule(name), precision))
    return network.requires_grad_(False)


def real_weights(network: nn.Module, state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict for `network`, of plain layers, that computes what one of `IntegerLayer`s does.

    Its activations are not rounded. Entries of other layers, and state dicts without integers, stay as they are.

    Raises:
        CheckpointMismatch: the network has no layer of a name.
    """
    layers = {key.removesuffix(".weight_bits") for key in state_dict if key.endswith(".weight_bits")}
    real = {key: value for key, value in state_dict.items() if key.rpartition(".")[0] not in layers}
    for name in layers:
        weight, scale = state_dict[f"{name}.weight"], state_dict[f"{name}.weight_scale"]
        bias, input_scale = state_dict.get(f"{name}.bias"), state_dict.get(f"{name}.input_scale")
        try:
            axis = 1 if isinstance(network.get_submodule(name), nn.ConvTranspose2d) else 0
        except AttributeError as error:
            raise CheckpointMismatch(f"the checkpoint quantizes {name}, which this network lacks") from error
        real[f"{name}.weight"] = weight * scale.view([-1 if at == axis else 1 for at in range(weight.ndim)])
        if bias is not None:
            real[f"{name}.bias"] = bias if input_scale is None else bias * (input_scale * scale)
    return real


def integer_layers(network: nn.Module) -> dict[str, IntegerLayer]:
    """The integer layers of `network` by module name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, IntegerLayer)}
