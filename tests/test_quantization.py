"""Fake quantization against torch, torchao and integer arithmetic done by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.ao.quantization.observer import MinMaxObserver as TorchMinMax
from torch.nn import functional as F
from torchao.quantization.granularity import PerAxis
from torchao.quantization.observer import AffineQuantizedMinMaxObserver
from torchao.quantization.quant_primitives import MappingType, ZeroPointDomain

from scripts.adapters import AdaLoRALinear, adapt, adapted_layers
from scripts.errors import BundleError
from scripts.quantization import (
    ActivationFakeQuantizer,
    FakeQuantizedLayer,
    Precision,
    WeightFakeQuantizer,
    calibrate,
    prepare,
    quantized_layers,
)
from scripts.quantization.observers import MinMaxObserver, PercentileObserver
from scripts.quantization.qparams import affine_qparams, dequantize, quantize, signed_range, symmetric_scale
from scripts.sam import Architecture, build_sam

NARROW = Architecture(32, 2, 2, (1,), prompt_dim=32, decoder_heads=4, decoder_mlp_dim=64, decoder_head_hidden=32)
RULES = [{"modules": "prompt_encoder.*", "precision": "fp32"}, {"modules": "*", "weight": 7, "input": 8}]


def calibrated(module: nn.Module, x: torch.Tensor) -> nn.Module:
    calibrate(module, [x], module, 1, percentile=None)
    return module


@pytest.mark.parametrize("bits", [4, 7, 8])
def test_weight_scales_equal_torchaos(bits):
    weight = torch.randn(5, 40) * torch.logspace(-3, 1, 5)[:, None]
    low, high = signed_range(bits)
    observer = AffineQuantizedMinMaxObserver(
        MappingType.SYMMETRIC_NO_CLIPPING_ERR,
        torch.int8,
        PerAxis(0),
        low,
        high,
        eps=torch.finfo(torch.float32).eps,
        scale_dtype=torch.float32,
        zero_point_dtype=torch.int32,
        zero_point_domain=ZeroPointDomain.INT,
    )
    observer(weight)
    expected, zero_point = observer.calculate_qparams()
    torch.testing.assert_close(symmetric_scale(weight, bits, 0), expected.flatten())
    assert (zero_point == 0).all()


@pytest.mark.parametrize(("low", "high"), [(-3.0, 5.0), (0.5, 6.0), (-4.0, -1.0), (-1e-3, 2e-3), (0.0, 0.0)])
def test_activation_qparams_equal_torchs_observer(low, high):
    observer = TorchMinMax(dtype=torch.quint8, qscheme=torch.per_tensor_affine, quant_min=0, quant_max=255)
    observer(torch.tensor([low, high]))
    scale, zero_point = observer.calculate_qparams()
    ours = affine_qparams(torch.tensor([low]), torch.tensor([high]), 8)
    torch.testing.assert_close(ours[0], scale)
    assert int(ours[1].round()) == int(zero_point)


def test_quantize_and_dequantize_by_table():
    x = torch.tensor([-1.0, -0.26, 0.0, 0.24, 0.25, 0.75, 100.0])
    q = quantize(x, torch.tensor(0.5), 2, 0, 7)
    assert q.tolist() == [0, 1, 2, 2, 2, 4, 7]  # halves go to even
    assert dequantize(q, torch.tensor(0.5), 2).tolist() == [-1.0, -0.5, 0.0, 0.0, 0.0, 1.0, 2.5]


@pytest.mark.parametrize(("shape", "axis"), [((6, 9), 0), ((6, 3, 2, 2), 0), ((3, 6, 2, 2), 1)])
def test_weight_fake_quantizer_is_quantize_then_dequantize(shape, axis):
    weight = torch.randn(shape)
    quantizer = WeightFakeQuantizer(7, axis)
    scale = quantizer.scale(weight)
    view = [-1 if i == axis else 1 for i in range(weight.ndim)]
    low, high = signed_range(7)
    expected = dequantize(quantize(weight, scale.view(view), 0, low, high), scale.view(view), 0)
    torch.testing.assert_close(quantizer(weight, scale), expected)
    assert (weight - expected).abs().max() <= scale.max() / 2 + 1e-6


def test_weight_gradient_passes_straight_through():
    weight, upstream = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6)
    quantizer = WeightFakeQuantizer(8, 0)
    (quantizer(weight, quantizer.scale(weight)) * upstream).sum().backward()
    torch.testing.assert_close(weight.grad, upstream)


def test_activation_gradients_follow_the_straight_through_formulas():
    """LSQ+: inside the range x passes on the gradient, outside the bound it was clipped to does."""
    quantizer = ActivationFakeQuantizer(8)
    calibrated(quantizer, torch.tensor([-1.0, 3.0]))
    scale, zero_point = (value.detach() for value in quantizer.qparams())
    # A grid point on the range's edge, so that rounding of the zero point plays no part in the comparison.
    x = torch.tensor([-5.0, -0.5, 0.3, 1.7, 9.0], requires_grad=True)
    upstream = torch.tensor([0.7, -1.1, 0.4, 2.0, -0.6])
    (quantizer(x) * upstream).sum().backward()
    assert x.grad.tolist() == pytest.approx([0.0, -1.1, 0.4, 2.0, 0.0])
    inside = x.detach()[1:4]
    rounding = quantize(inside, scale, zero_point.round(), 0, 255) - zero_point.round() - inside / scale
    by_rounding = float((rounding * upstream[1:4]).sum()) / 255
    zero = float(zero_point.round())
    # d scale / d high = 1/255, and the zero point moves by zp/scale/255 when high moves.
    below = float(upstream[0]) * ((0 - zero) + float(zero_point)) / 255
    above = float(upstream[4]) * ((255 - zero) + float(zero_point)) / 255
    # Clipped values move with the zero point by -scale; their part through it is +- zp/255, as above.
    expected_high = by_rounding + float(upstream[4]) * (255 - zero) / 255 + float(upstream[0]) * (0 - zero) / 255
    expected_high += (float(upstream[0]) + float(upstream[4])) * float(zero_point) / 255
    assert float(quantizer.high.grad) == pytest.approx(expected_high, abs=1e-4)
    assert float(quantizer.high.grad) == pytest.approx(by_rounding + below + above, abs=1e-4)
    # Widening the range by d on both sides moves a value clipped above by d, one clipped below by -d.
    assert above == pytest.approx(float(upstream[4]), abs=5e-3) and below == pytest.approx(0.0, abs=5e-3)


def integer_layer(layer: nn.Module, wrapper: FakeQuantizedLayer, x: torch.Tensor) -> torch.Tensor:
    """The wrapped layer in integers: u8 input, s7 weight, int32 bias, int64 accumulator, one rescale at the end."""
    scale, zero_point = (value.detach() for value in wrapper.input_quantizer.qparams())
    xq = quantize(x, scale, zero_point.round(), 0, 255).long() - zero_point.round().long()
    axis = wrapper.weight_quantizer.axis
    weight = layer.merged_weight() if isinstance(layer, AdaLoRALinear) else layer.weight
    weight_scale = symmetric_scale(weight.detach(), wrapper.weight_quantizer.bits, axis)
    view = [-1 if i == axis else 1 for i in range(weight.ndim)]
    wq = quantize(weight.detach(), weight_scale.view(view), 0, *signed_range(wrapper.weight_quantizer.bits)).long()
    bias = None if layer.bias is None else torch.round(layer.bias.detach() / (scale * weight_scale)).long()
    if isinstance(layer, nn.Linear):
        accumulator = (xq.double() @ wq.double().T).long() + bias
        return accumulator * (scale * weight_scale)
    convolve = F.conv2d if isinstance(layer, nn.Conv2d) else F.conv_transpose2d
    accumulator = convolve(xq.double(), wq.double(), None, layer.stride, layer.padding).long()
    accumulator = accumulator + (0 if bias is None else bias.view(1, -1, 1, 1))
    return accumulator * (scale * weight_scale).view(1, -1, 1, 1)


def adapted_linear() -> AdaLoRALinear:
    layer = AdaLoRALinear(nn.Linear(12, 9), ["q", "k", "v"], 2)
    layer.adapter_lambda.data.normal_()
    return layer


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(12, 9), (4, 12)),
        (adapted_linear(), (4, 12)),
        (nn.Conv2d(3, 5, 3, padding=1), (2, 3, 8, 8)),
        (nn.Conv2d(3, 5, 4, stride=4, bias=False), (2, 3, 8, 8)),
        (nn.ConvTranspose2d(3, 5, 2, stride=2), (2, 3, 8, 8)),
    ],
)
def test_fake_quantized_layer_equals_integer_arithmetic(layer, shape):
    torch.manual_seed(0)
    x = torch.randn(shape) * 2 + 0.5
    wrapper = calibrated(FakeQuantizedLayer(copy.deepcopy(layer), Precision(weight=7, input=8)), x)
    torch.testing.assert_close(wrapper(x), integer_layer(layer, wrapper, x), atol=1e-4, rtol=1e-5)


def test_output_is_quantized_where_the_policy_says_so():
    x = torch.randn(2, 3, 8, 8)
    wrapper = calibrated(FakeQuantizedLayer(nn.Conv2d(3, 5, 3), Precision(weight=7, input=8, output=4)), x)
    assert len(wrapper(x).unique()) <= 16


def test_adapted_layer_trains_through_its_merged_weight():
    wrapper = FakeQuantizedLayer(adapted_linear(), Precision(weight=7, input=8))
    calibrated(wrapper, torch.randn(20, 12))
    wrapper(torch.randn(4, 12)).square().sum().backward()
    assert wrapper.layer.adapter_lambda.grad.abs().min() > 0
    assert wrapper.layer.weight.grad is None


def test_uncalibrated_quantizer_passes_activations_through():
    x = torch.randn(3, 7)
    assert torch.equal(ActivationFakeQuantizer(8)(x), x)


def test_calibration_survives_a_state_dict():
    x = torch.randn(3, 12)
    trained = calibrated(FakeQuantizedLayer(nn.Linear(12, 5), Precision(weight=8, input=8)), x)
    fresh = FakeQuantizedLayer(nn.Linear(12, 5), Precision(weight=8, input=8))
    fresh.load_state_dict(trained.state_dict())
    assert fresh.input_quantizer.active and torch.equal(fresh(x), trained(x))


def test_min_max_takes_in_outliers_and_percentile_does_not():
    x = torch.cat([torch.linspace(-1, 1, 100_000), torch.tensor([1000.0])])
    plain, robust = MinMaxObserver(), PercentileObserver(99.9)
    for observer in (plain, robust):
        observer.observe(x)
        observer.observe(x / 2)
    assert [float(bound) for bound in plain.range()] == [-1.0, 1000.0]
    low, high = (float(bound) for bound in robust.range())
    assert low == pytest.approx(-0.75, abs=0.01) and high == pytest.approx(0.75, abs=0.01)


def test_calibration_without_data_is_refused():
    with pytest.raises(BundleError, match="no batch"):
        calibrate(nn.Linear(2, 2), [], lambda batch: None, 4)


def test_quantizing_twice_is_refused():
    network = prepare(build_sam(NARROW, 64), RULES)
    with pytest.raises(BundleError, match="already"):
        prepare(network, RULES)


def test_whole_network_is_quantized_but_for_layers_that_see_no_data():
    torch.manual_seed(0)
    network = adapt(build_sam(NARROW, 64), {"*.attn.qkv": ["q", "k", "v"]}, rank=2, alpha=4)
    for layer in adapted_layers(network).values():
        layer.adapter_lambda.data.normal_()
    image = torch.rand(2, 1, 64, 64)
    before = network.eval()(image)
    prepare(network, RULES)
    calibrate(network, [image], network, 1)
    idle = {name for name, layer in quantized_layers(network).items() if not layer.input_quantizer.active}
    assert idle and all("iou_prediction_head" in name or "hypernetworks" in name for name in idle)
    after = network(image)
    assert 0 < (after - before).abs().max() < 0.2 * before.std() + 0.2
    assert not any(p.requires_grad for name in idle for p in network.get_submodule(name).input_quantizer.parameters())
