"""Fake quantization against torch, torchao and integer arithmetic done by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from conftest import NARROW, small_sam
from torch import nn
from torch.ao.quantization.observer import MinMaxObserver as TorchMinMax
from torch.nn import functional as F
from torchao.quantization.granularity import PerAxis
from torchao.quantization.observer import AffineQuantizedMinMaxObserver
from torchao.quantization.quant_primitives import MappingType, ZeroPointDomain, choose_qparams_affine

from scripts.adapters import AdaLoRALinear, adapted_layers, rank_pattern
from scripts.errors import BundleError, CheckpointMismatch
from scripts.quantization import (
    ActivationFakeQuantizer,
    FakeQuantizedLayer,
    Precision,
    WeightFakeQuantizer,
    calibrate,
    prepare,
    quantized_layers,
    to_integer,
)
from scripts.quantization.observers import MinMaxObserver, PercentileObserver
from scripts.quantization.qparams import (
    affine_qparams,
    dequantize,
    quantize,
    signed_range,
    symmetric_scale,
    unsigned_range,
)
from scripts.quantization.straight_through import RoundActivation
from scripts.sam import build_sam, save_weights
from scripts.stages import quantization_aware, startable

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


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("seed", range(3))
def test_activation_qparams_equal_torchaos_on_random_tensors(seed, bits):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(50, 7, generator=generator) * 10.0 ** (seed - 1) + seed
    scale, zero_point = choose_qparams_affine(x, MappingType.ASYMMETRIC, x.shape, torch.uint8, 0, 2**bits - 1)
    ours = affine_qparams(x.min().view(1), x.max().view(1), bits)
    assert float(ours[0]) == pytest.approx(float(scale), rel=1e-6)
    assert int(ours[1].round()) == int(zero_point)


def test_activation_fake_quantizer_equals_torchs():
    x = torch.randn(400) * 3 + 1
    quantizer = calibrated(ActivationFakeQuantizer(8), x)
    scale, zero_point = (float(value) for value in quantizer.qparams())
    wider = x * 1.5  # some values are clipped
    expected = torch.fake_quantize_per_tensor_affine(wider, scale, round(zero_point), 0, 255)
    torch.testing.assert_close(quantizer(wider), expected)
    assert (quantizer(wider) < wider - scale).any() and len(quantizer(wider).unique()) <= 256


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 2.0), (-2.0, 0.0), (-0.03, 5.0)])
def test_activation_rounding_has_the_values_and_gradients_of_torchs_kernel(bits, low, high):
    torch.manual_seed(bits)
    scale, zero_point = affine_qparams(torch.tensor([low]), torch.tensor([high]), bits)
    x, upstream = torch.randn(4, 30, 50).transpose(0, 2) * 3, torch.randn(50, 30, 4)
    ours, theirs = (
        [tensor.detach().clone().requires_grad_(True) for tensor in (x, scale, zero_point)] for _ in range(2)
    )
    first, last = unsigned_range(bits)
    rounded = RoundActivation.apply(*ours, first, last)
    expected = torch._fake_quantize_learnable_per_tensor_affine(*theirs, first, last, 1.0)
    torch.testing.assert_close(rounded, expected)
    for result in (rounded, expected):
        (result * upstream).sum().backward()
    for one, other in zip(ours, theirs):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("axis", [0, 1])
def test_weight_rounding_has_the_values_of_torchs_kernel(axis):
    weight = torch.randn(6, 7, 3, 3)
    quantizer = WeightFakeQuantizer(7, axis)
    scale = quantizer.scale(weight)
    zero_point = torch.zeros_like(scale, dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(weight, scale, zero_point, axis, *signed_range(7))
    torch.testing.assert_close(quantizer(weight, scale), expected)


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


@pytest.mark.parametrize(("value", "low", "high"), [(-9.0, 1.0, 0.0), (9.0, 0.0, 1.0)])
def test_clipped_value_hands_its_whole_gradient_to_the_bound_it_was_clipped_to(value, low, high):
    """The clipped output is the bound itself; exact where the zero point, here 64, needs no rounding."""
    quantizer = calibrated(ActivationFakeQuantizer(8), torch.tensor([-64 / 32, 191 / 32]))
    quantizer(torch.tensor([value])).sum().backward()
    assert float(quantizer.low.grad) == pytest.approx(low, abs=1e-6)
    assert float(quantizer.high.grad) == pytest.approx(high, abs=1e-6)
    # Numerically: moving both bounds by the same whole step moves the output by that step.
    step, before = 1 / 32, float(quantizer(torch.tensor([value])))
    quantizer.low.data += step
    quantizer.high.data += step
    assert float(quantizer(torch.tensor([value]))) - before == pytest.approx(step, abs=1e-6)


def test_value_inside_hands_its_rounding_error_to_the_scale():
    """LSQ: d out / d scale = round(x / s) - x / s, and the scale is (high - low) / 255."""
    quantizer = calibrated(ActivationFakeQuantizer(8), torch.tensor([-64 / 32, 191 / 32]))
    x = torch.tensor([0.73 / 32, -20.4 / 32, 100.2 / 32])
    upstream = torch.tensor([1.0, -2.0, 0.5])
    (quantizer(x) * upstream).sum().backward()
    errors = torch.tensor([1 - 0.73, -20 + 20.4, 100 - 100.2])
    expected = float((errors * upstream).sum()) / 255
    assert float(quantizer.high.grad) == pytest.approx(expected, abs=1e-6)
    assert float(quantizer.low.grad) == pytest.approx(-expected, abs=1e-6)


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


@pytest.mark.parametrize("ranks", [(2, 2, 2), (3, 0, 1), (0, 0, 0)])
def test_adapters_gradients_are_those_of_the_merged_weight(ranks):
    layer, x, upstream = (
        AdaLoRALinear(nn.Linear(12, 9), ["q", "k", "v"], ranks, 2.0),
        torch.randn(2, 5, 12),
        torch.randn(2, 5, 9),
    )
    layer.adapter_lambda.data.normal_()
    layer.bias.requires_grad_(True)
    gradients = []
    for whole in (False, True):  # with a weight that trains too, autograd goes through the whole of it
        wrapper = calibrated(FakeQuantizedLayer(copy.deepcopy(layer), Precision(7, 8)), x)
        wrapper.layer.weight.requires_grad_(whole)
        inputs = x.clone().requires_grad_(True)
        (wrapper(inputs) * upstream).sum().backward()
        wrapper.layer.weight.grad = None
        gradients.append({"x": inputs.grad} | {name: p.grad for name, p in wrapper.named_parameters()})
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-5)


def test_adapted_layer_is_quantized_as_the_layer_it_merges_into():
    adapted, x = adapted_linear(), torch.randn(20, 12)
    dense = nn.Linear(12, 9)
    dense.weight.data = adapted.weight + torch.cat(
        [
            adapted.adapter_P[:, i : i + 2] @ adapted.adapter_lambda[i : i + 2].diag() @ adapted.adapter_Q[i : i + 2]
            for i in (0, 2, 4)
        ]
    )
    dense.bias = adapted.bias
    ours, plain = (calibrated(FakeQuantizedLayer(layer, Precision(7, 8)), x) for layer in (adapted, dense))
    torch.testing.assert_close(ours(x), plain(x))
    base = nn.functional.linear(x, adapted.weight, adapted.bias)
    assert (ours(x) - base).abs().mean() > 10 * (ours(x) - adapted(x)).abs().mean()


def test_bias_gradient_passes_straight_through():
    wrapper, x = FakeQuantizedLayer(nn.Linear(12, 5), Precision(7, 8)), torch.randn(20, 12)
    upstream = torch.randn(20, 5)
    (calibrated(wrapper, x)(x) * upstream).sum().backward()
    torch.testing.assert_close(wrapper.layer.bias.grad, upstream.sum(0))


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), nn.ConvTranspose2d(4, 4, 2, groups=2), nn.LayerNorm(4)],
)
def test_layers_without_an_integer_counterpart_are_refused(layer):
    with pytest.raises((ValueError, TypeError), match="cannot quantize"):
        FakeQuantizedLayer(layer, Precision(8, 8))


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


@pytest.mark.parametrize("percentile", [0, 50, 100.1])
def test_percentile_that_is_none_is_refused(percentile):
    with pytest.raises(BundleError, match="percentile"):
        PercentileObserver(percentile)


def test_percentile_observer_sorts_no_more_values_than_its_sample(monkeypatch):
    lengths, sort = [], torch.Tensor.sort
    monkeypatch.setattr(torch.Tensor, "sort", lambda values: lengths.append(len(values)) or sort(values))
    PercentileObserver(99.0, sample=10).observe(torch.rand(19))
    assert lengths[0] <= 10


def test_calibration_uses_as_many_batches_as_it_is_told_and_restores_the_mode():
    layer, used = FakeQuantizedLayer(nn.Linear(3, 3), Precision(8, 8)).train(), []

    def forward(x):
        used.append((layer.training, torch.is_grad_enabled()))
        return layer(x)

    batches = [torch.full((1, 3), value) for value in (-1.0, 2.0, 50.0)]
    calibrate(layer, batches, forward, 2, percentile=None)
    assert used == [(False, False)] * 2 and layer.training
    assert float(layer.input_quantizer.low) == -1.0 and float(layer.input_quantizer.high) == 2.0


def test_failed_calibration_leaves_the_network_as_it_was():
    layer = FakeQuantizedLayer(nn.Linear(3, 3), Precision(8, 8)).train()
    for batches, forward in (([], layer), ([torch.zeros(1, 4)], layer)):
        with pytest.raises((BundleError, RuntimeError)):
            calibrate(layer, batches, forward, 1)
        assert layer.training and layer.input_quantizer.observer is None


def test_quantizing_twice_is_refused():
    network = prepare(build_sam(NARROW, 64), RULES)
    with pytest.raises(BundleError, match="already"):
        prepare(network, RULES)


def test_whole_network_is_quantized_but_for_layers_that_see_no_data():
    torch.manual_seed(0)
    network = small_sam(rank=2)
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


def test_quantized_network_is_restored_whole_from_its_state_dict():
    image = torch.rand(1, 1, 64, 64)
    trained = prepare(small_sam(), RULES).eval()
    calibrate(trained, [image], trained, 1)
    fresh = prepare(small_sam(), RULES).eval()
    assert not torch.equal(fresh(image), trained(image))
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh(image), trained(image))


def test_second_stage_starts_from_the_pruned_first_and_trains_only_what_it_should(tmp_path):
    first = small_sam()
    for i, layer in enumerate(adapted_layers(first).values()):
        layer.adapter_lambda.data.normal_()
        layer.rank_mask[:: 2 + i] = False
        layer.adapter_lambda.data *= layer.rank_mask
    save_weights(first.state_dict(), tmp_path / "stage1.pt")
    rules = tmp_path / "policy.yaml"
    rules.write_text("- {modules: prompt_encoder.*, precision: fp32}\n- {modules: '*', weight: 8, input: 8}\n")
    image = torch.rand(1, 1, 64, 64)
    second = quantization_aware(small_sam(), tmp_path / "stage1.pt", rules, ["*.adapter_lambda"])
    trained = {name for name, p in second.named_parameters() if p.requires_grad}
    assert trained and all(name.endswith(("adapter_lambda", "_quantizer.low", "_quantizer.high")) for name in trained)
    kept = rank_pattern(first)["ranks"]
    assert {name.replace(".layer.", "."): rank for name, rank in rank_pattern(second)["ranks"].items()} == kept
    assert all(layer.rank_mask.all() for layer in adapted_layers(second).values())
    calibrate(second, [image], second, 1)
    difference = (second.eval()(image) - first.eval()(image)).std()
    assert 0 < difference < 0.2 * first(image).std()
    second(image).square().mean().backward()
    assert all(layer.adapter_lambda.grad.abs().min() > 0 for layer in adapted_layers(second).values())


def test_second_stage_names_the_file_of_weights_that_do_not_fit(tmp_path):
    save_weights(small_sam(rank=2).state_dict(), tmp_path / "stage1.pt")
    with pytest.raises(CheckpointMismatch, match="stage1.pt.*adapter_P"):
        quantization_aware(small_sam(), tmp_path / "stage1.pt", tmp_path / "policy.yaml", ["*"])


# Training further from the integers that shipped


def test_adapted_network_starts_from_the_integers_of_a_shipped_one(tmp_path):
    shipped = to_integer(calibrated_sam())
    save_weights({"model": shipped.state_dict()}, tmp_path / "model.pt")
    started = startable(small_sam(), tmp_path / "model.pt").eval()
    for name, layer in shipped.named_modules():
        if hasattr(layer, "real_weight"):
            torch.testing.assert_close(started.get_submodule(name).weight, layer.real_weight())
            torch.testing.assert_close(started.get_submodule(name).bias, layer.real_bias())
    assert all(torch.count_nonzero(layer.adapter_lambda) == 0 for layer in adapted_layers(started).values())
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, got = shipped(image), started(image)
    assert (got - expected).abs().mean() < 0.2 * expected.std()  # activations are not rounded


def test_start_from_a_checkpoint_that_does_not_fit_names_the_file(tmp_path):
    save_weights({"model": {"somewhere.weight": torch.zeros(2)}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointMismatch, match="other.pt: .*does not fit the network"):
        startable(small_sam(), tmp_path / "other.pt")
    save_weights(
        {
            "model": {
                "gone.weight_bits": torch.tensor(8),
                "gone.weight": torch.zeros(2, 2),
                "gone.weight_scale": torch.ones(2),
            }
        },
        tmp_path / "integers.pt",
    )
    with pytest.raises(CheckpointMismatch, match="quantizes gone"):
        startable(small_sam(), tmp_path / "integers.pt")


def calibrated_sam() -> nn.Module:
    network = prepare(small_sam(), RULES).eval()
    image = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    calibrate(network, [image], network, 1, percentile=None)
    return network
