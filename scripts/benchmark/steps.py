"""One training step of each stage, ours and that of others, as a call that can be measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn
from torch.nn import functional as F

from ..adapters import (
    AdaLoRALinear,
    RankAllocator,
    RankSchedule,
    adapt,
    adapted_layers,
    compact,
    orthogonality,
    rank_budget,
)
from ..errors import BundleError
from ..losses import DiceBCELoss
from ..parameters import train_only
from ..quantization import calibrate, check_policy, prepare
from ..sam import build_sam

GAMMA = 0.003
TOTAL = 1000  # steps of the schedule; the budget falls during all that are measured
DECODER = ["mask_decoder.*", "prompt_encoder.*"]


class DenseIncrement(AdaLoRALinear):
    """The adapted layer as AdaLoRA-QAT's published code computes it: dW is built, d_out x d_in, at every step."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """... x d_in -> ... x d_out."""
        return F.linear(x, self.merged_weight(), self.bias)


@dataclass(frozen=True)
class Step:
    """A network, what its step adds to the loss, and what follows the optimiser's step.

    Attributes:
        network: called with the images.
        penalty: the term added to the loss; None adds nothing.
        after: called after each optimiser step; None does nothing.
    """

    network: nn.Module
    penalty: Callable[[], torch.Tensor] | None = None
    after: Callable[[], None] | None = None


def adalora(base: nn.Module, spec: Mapping[str, object]) -> Step:
    """Stage 1 of this bundle: adapters, orthogonality and allocator."""
    network = adapt(base, spec["targets"], spec["rank"], spec["alpha"])
    layers = adapted_layers(network)
    initial = rank_budget(network)
    schedule = RankSchedule(initial, initial // 2, TOTAL, warmup=0, final=1, interval=5)
    allocator = RankAllocator(layers, schedule)

    def penalty() -> torch.Tensor:
        return GAMMA * orthogonality(layers.values())

    return Step(network, penalty, allocator.step)


def dense(base: nn.Module, spec: Mapping[str, object]) -> Step:
    """Stage 1 with a dense dW."""
    step = adalora(base, spec)
    for layer in adapted_layers(step.network).values():
        layer.__class__ = DenseIncrement
    return step


def peft(base: nn.Module, spec: Mapping[str, object]) -> Step:
    """PEFT's AdaLoRA in the same layers of the encoder. Its q, k and v share the triplets of the fused layer."""
    from peft import AdaLoraConfig, get_peft_model

    trained = [name for name, p in base.named_parameters() if p.requires_grad and not name.startswith("image_encoder.")]
    config = AdaLoraConfig(
        target_modules=target_layers(base, spec),
        init_r=spec["rank"],
        target_r=max(1, spec["rank"] // 2),
        lora_alpha=spec["alpha"],
        lora_dropout=0.0,
        tinit=0,
        tfinal=1,
        deltaT=5,
        total_step=TOTAL,
    )
    model = get_peft_model(base, config)
    for name in trained:
        model.base_model.model.get_parameter(name).requires_grad_(True)
    factors = [p for name, p in model.named_parameters() if "lora_A" in name or "lora_B" in name]
    taken = 0

    def penalty() -> torch.Tensor:
        # As in peft.AdaLoraModel.forward, which adds it only to outputs that hold a loss of their own
        terms = []
        for factor in factors:
            gram = factor @ factor.T if factor.shape[0] < factor.shape[1] else factor.T @ factor
            terms.append(torch.norm(gram - torch.eye(len(gram), device=gram.device), p="fro"))
        return GAMMA * sum(terms) / len(terms)

    def after() -> None:
        nonlocal taken
        taken += 1
        model.base_model.update_and_allocate(taken)

    return Step(model, penalty, after)


def decoder(base: nn.Module, spec: Mapping[str, object]) -> Step:
    """Decoder fine-tuning, the floor: no gradient passes the encoder."""
    return Step(train_only(base, DECODER))


def fake_quantized(base: nn.Module, spec: Mapping[str, object]) -> Step:
    """Stage 2 of this bundle: compacted adapters, fake quantizers calibrated, singular values and ranges trained."""
    network = compact(adapt(base, spec["targets"], max(1, spec["rank"] // 2), spec["alpha"]))
    network = prepare(train_only(network, ["*.adapter_lambda", *DECODER]), spec["policy"])
    calibrate(network, [_images(spec, 1)], network, 1)
    return Step(network.train())


def plain(base: nn.Module, spec: Mapping[str, object]) -> nn.Module:
    """The base with plain linear layers, whose weights train where ours adapts: what other packages can quantize.

    A singular value's gradient needs that of the whole weight, so the work is the same.
    """
    network = train_only(base, DECODER)
    for name in target_layers(base, spec):
        network.get_submodule(name).weight.requires_grad_(True)
    return network


def brevitas(base: nn.Module, spec: Mapping[str, object]) -> Step:
    """Brevitas: the layers that the policy quantizes, per-channel weights, per-tensor unsigned activations."""
    import brevitas.nn as quantized
    from brevitas.quant import Int8WeightPerChannelFloat, ShiftedUint8ActPerTensorFloat

    network = plain(base, spec)
    for name, precision in check_policy(network, spec["policy"]).items():
        layer = network.get_submodule(name)
        if not precision.quantized:
            continue
        options = {
            "bias": layer.bias is not None,
            "weight_quant": Int8WeightPerChannelFloat,
            "input_quant": ShiftedUint8ActPerTensorFloat if precision.input else None,
            "output_quant": ShiftedUint8ActPerTensorFloat if precision.output else None,
        }
        if isinstance(layer, nn.Linear):
            other = quantized.QuantLinear(layer.in_features, layer.out_features, **options)
        else:
            kind = quantized.QuantConv2d if isinstance(layer, nn.Conv2d) else quantized.QuantConvTranspose2d
            sizes = {key: getattr(layer, key) for key in ("kernel_size", "stride", "padding", "dilation", "groups")}
            other = kind(layer.in_channels, layer.out_channels, **sizes, **options)
        other.weight, other.bias = layer.weight, layer.bias
        network.set_submodule(name, other)
    return Step(network)


def torchao(base: nn.Module, spec: Mapping[str, object]) -> Step:
    """torchao: linear layers of the encoder alone, per-channel weights, dynamic activations a token."""
    from torchao.quantization import quantize_
    from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig

    network = plain(base, spec)
    config = QATConfig(
        activation_config=IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False),
        weight_config=IntxFakeQuantizeConfig(torch.int8, "per_channel"),
        step="prepare",
    )
    quantize_(network.image_encoder, config)
    return Step(network)


VARIANTS = {
    function.__name__: function for function in (adalora, dense, peft, decoder, fake_quantized, brevitas, torchao)
}


def target_layers(base: nn.Module, spec: Mapping[str, object]) -> list[str]:
    """Names of the layers that the globs of "targets" name."""
    names = [name for name, _ in base.named_modules()]
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in spec["targets"])]


def _images(spec: Mapping[str, object], count: int) -> torch.Tensor:
    return torch.rand(count, 1, spec["image_size"], spec["image_size"])


def build_step(spec: Mapping[str, object]) -> Callable[[], None]:
    """The call that is measured: forward, loss, backward, optimiser and allocator, on one batch of random images.

    Args:
        spec: "variant" (a name in `VARIANTS`), "architecture", "image_size", "window_size", "batch", "targets", "rank",
            "alpha", "policy", "precision" (float32 or bfloat16, of stage 1), "device".
    """
    if spec["variant"] not in VARIANTS:
        raise BundleError(f"benchmark: unknown variant {spec['variant']!r}; known: {', '.join(VARIANTS)}")
    device = torch.device(spec["device"])
    base = build_sam(spec["architecture"], spec["image_size"], window_size=spec.get("window_size"))
    step = VARIANTS[spec["variant"]](base, spec)
    network = step.network.to(device).train()
    images = _images(spec, spec["batch"]).to(device)
    targets = (_images(spec, spec["batch"]) > 0.5).float().to(device)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-4)
    loss = DiceBCELoss()
    mixed = spec.get("precision", "float32") == "bfloat16"

    def call() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            logits = network(images)
        total = loss(logits.float(), targets)
        if step.penalty is not None:
            total = total + step.penalty()
        total.backward()
        optimizer.step()
        if step.after is not None:
            step.after()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return call
