"""Precision policies: what they accept, and what the shipped ones do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import QKV

from scripts.adapters import adapt
from scripts.errors import BundleError
from scripts.quantization import Precision, PrecisionPolicy, check_policy, prepare, quantized_layers
from scripts.quantization.layers import QUANTIZABLE
from scripts.sam import build_sam

POLICIES = Path(__file__).parents[1] / "configs" / "policies"
NAMES = ["encoder.0.qkv", "encoder.0.mlp", "encoder.1.qkv", "decoder.out"]


def test_first_match_wins():
    policy = PrecisionPolicy(
        [
            {"modules": "*.qkv", "precision": "fp32"},
            {"modules": "encoder.*", "weight": 7, "input": 8},
            {"modules": "*", "weight": 4},
        ]
    )
    assert policy.resolve(NAMES) == {
        "encoder.0.qkv": Precision(),
        "encoder.0.mlp": Precision(7, 8),
        "encoder.1.qkv": Precision(),
        "decoder.out": Precision(4),
    }


def test_layer_that_no_rule_matches_is_named():
    with pytest.raises(BundleError, match="decoder.out"):
        PrecisionPolicy([{"modules": "encoder.*", "weight": 8}]).resolve(NAMES)


def test_glob_that_matches_nothing_is_named():
    with pytest.raises(BundleError, match="neck"):
        PrecisionPolicy([{"modules": "neck.*", "weight": 8}, {"modules": "*", "weight": 8}]).resolve(NAMES)


@pytest.mark.parametrize(
    "rule",
    [
        {"modules": "*", "weight": 9},
        {"modules": "*", "weight": 1},
        {"modules": "*", "weight": "8"},
        {"modules": "*", "weight": True},
        {"modules": "*", "input": 8},
        {"modules": "*", "weight": 8, "bias": 8},
        {"modules": "*", "precision": "fp16"},
        {"modules": "*", "precision": "fp32", "weight": 8},
        {"weight": 8},
        "fp32",
    ],
)
def test_rules_that_make_no_sense_are_refused(rule):
    with pytest.raises(BundleError, match="rule"):
        PrecisionPolicy([rule])


@pytest.mark.parametrize("text", ["", "modules: '*'", "- [", "- {modules: '*', weight: 99}"])
def test_policy_file_is_named_in_errors(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(BundleError, match="own.yaml"):
        PrecisionPolicy.from_file(path)
    with pytest.raises(BundleError, match="absent.yaml"):
        PrecisionPolicy.from_file(tmp_path / "absent.yaml")


@pytest.mark.parametrize("architecture", ["vit_ti", "vit_b"])
@pytest.mark.parametrize(
    ("policy", "kept"), [("paper", (".attn.qkv", "prompt_encoder.")), ("full", ("prompt_encoder.",))]
)
def test_shipped_policies_leave_in_fp32_what_they_say(architecture, policy, kept):
    with torch.device("meta"):
        network = adapt(build_sam(architecture, 256), QKV, rank=4, alpha=4)
        names = {name for name, module in network.named_modules() if isinstance(module, QUANTIZABLE)}
        prepare(network, POLICIES / f"{policy}.yaml")
    fp32 = names - set(quantized_layers(network))
    assert fp32 == {name for name in names if any(part in name for part in kept)}
    assert sum(name.endswith(".attn.qkv") for name in fp32) == (
        len(network.image_encoder.blocks) if policy == "paper" else 0
    )
    # 7 bits of weight on CPUs without VNNI; transposed convolutions and the unused quality head keep float inputs.
    for name, layer in quantized_layers(network).items():
        assert layer.weight_quantizer.bits == 7
        floating = "output_upscaling" in name or "iou_prediction_head" in name
        assert (layer.input_quantizer is None) == floating
        convolution = name.startswith(("image_encoder.patch_embed", "image_encoder.neck", "mask_decoder.detail"))
        assert (layer.output_quantizer is not None) == convolution


def test_policy_is_checked_without_changing_the_network():
    with torch.device("meta"):
        network = build_sam("vit_ti", 256)
    precisions = check_policy(network, POLICIES / "full.yaml")
    assert not quantized_layers(network)
    assert set(precisions) == {name for name, module in network.named_modules() if isinstance(module, QUANTIZABLE)}
    assert check_policy(network, [{"modules": "*", "weight": 5}])["image_encoder.patch_embed.proj"] == Precision(5)
