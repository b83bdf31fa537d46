"""AdaLoRA layers and their life in a network."""

from __future__ import annotations

import copy

import pytest
import torch
from conftest import NARROW, QKV, small_sam
from peft.tuners.adalora import AdaLoraConfig, SVDLinear
from torch import nn

from scripts.adapters import AdaLoRALinear, adapt, adapted_layers, compact, merge, orthogonality, rank_pattern
from scripts.errors import BundleError
from scripts.sam import build_sam


def wake(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every triplet a singular value, as training would."""
    generator = torch.Generator().manual_seed(seed)
    for layer in adapted_layers(network).values():
        layer.adapter_lambda.data.copy_(torch.randn(layer.adapter_lambda.shape, generator=generator))
    return network


def test_network_is_undisturbed_before_the_first_step():
    torch.manual_seed(0)
    network, image = build_sam(NARROW, 64), torch.rand(2, 1, 64, 64)
    before = network(image)
    assert torch.equal(adapt(network, QKV, rank=4, alpha=8)(image), before)


def test_forward_is_the_textbook_formula():
    layer = AdaLoRALinear(nn.Linear(10, 12), ["q", "k", "v"], 3, scaling=0.5)
    layer.adapter_lambda.data.normal_()
    x = torch.randn(5, 10)
    expected = nn.functional.linear(x, layer.weight, layer.bias)
    for g in range(3):
        P, Q = layer.adapter_P[:, 3 * g : 3 * g + 3], layer.adapter_Q[3 * g : 3 * g + 3]
        dense = 0.5 * P @ torch.diag(layer.adapter_lambda[3 * g : 3 * g + 3]) @ Q
        expected[:, 4 * g : 4 * g + 4] += x @ dense.T
    torch.testing.assert_close(layer(x), expected)


def test_increment_of_one_projection_equals_pefts():
    """PEFT divides alpha by the rank plus 1e-5."""
    config = AdaLoraConfig(init_r=4, target_r=2, total_step=10, lora_alpha=8)
    theirs = SVDLinear(nn.Linear(10, 12), "default", config, r=4, lora_alpha=8)
    ours = AdaLoRALinear(theirs.get_base_layer(), ["out"], 4, scaling=8 / 4)
    ours.adapter_lambda.data.normal_()
    with torch.no_grad():
        theirs.lora_B["default"].copy_(ours.adapter_P)
        theirs.lora_E["default"].copy_(ours.adapter_lambda[:, None])
        theirs.lora_A["default"].copy_(ours.adapter_Q)
    x = torch.randn(5, 10)
    torch.testing.assert_close(ours.delta_weight(), theirs.get_delta_weight("default"), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_alpha_over_rank_scales_the_increment():
    for rank in (2, 4):
        assert {layer.scaling for layer in adapted_layers(small_sam(rank)).values()} == {8 / rank}


def test_each_projection_has_its_own_triplets():
    layer = AdaLoRALinear(nn.Linear(10, 12), ["q", "k", "v"], 2)
    x = torch.randn(5, 10)
    before = layer(x)
    layer.adapter_lambda.data[4:] = 1.0
    changed = (layer(x) - before).abs().amax(0) > 0
    assert changed.tolist() == [False] * 8 + [True] * 4


def test_unnamed_projection_is_left_alone():
    layer = AdaLoRALinear(nn.Linear(10, 12), ["q", None, "v"], 2)
    layer.adapter_lambda.data.fill_(1.0)
    assert layer.ranks == (2, 0, 2)
    assert layer.delta_weight()[4:8].abs().max() == 0


def test_singular_vectors_start_orthonormal():
    for layer in adapted_layers(small_sam()).values():
        assert orthogonality([layer]) < 1e-9


def test_orthogonality_is_the_frobenius_norm_of_the_gram_error():
    layer = AdaLoRALinear(nn.Linear(10, 12), ["q", "k", "v"], 3)
    layer.adapter_P.data.normal_()
    layer.adapter_Q.data.normal_()
    expected = sum(
        torch.linalg.matrix_norm(m.T @ m - torch.eye(3)) ** 2
        for g in range(3)
        for m in (layer.adapter_P[:, 3 * g : 3 * g + 3], layer.adapter_Q[3 * g : 3 * g + 3].T)
    )
    torch.testing.assert_close(orthogonality([layer]), expected)


def test_merged_network_equals_the_adapted_one():
    network, image = wake(small_sam()).eval(), torch.rand(2, 1, 64, 64)
    merged = merge(network)
    assert not adapted_layers(merged) and adapted_layers(network)
    torch.testing.assert_close(merged(image), network(image), atol=1e-5, rtol=1e-5)
    base = build_sam(NARROW, 64)
    assert set(merged.state_dict()) == set(base.state_dict())


def test_pruned_triplets_are_gone_from_compacted_and_merged_networks():
    network, image = wake(small_sam()).eval(), torch.rand(2, 1, 64, 64)
    for i, layer in enumerate(adapted_layers(network).values()):
        layer.rank_mask[i :: i + 2] = False
        layer.adapter_lambda.data *= layer.rank_mask
    expected, pattern = network(image), rank_pattern(network)
    compacted = compact(copy.deepcopy(network))
    assert rank_pattern(compacted) == pattern and pattern["budget"] < 2 * 3 * 4
    for layer in adapted_layers(compacted).values():
        assert layer.adapter_lambda.numel() == sum(layer.ranks) == layer.rank_mask.numel()
    torch.testing.assert_close(compacted(image), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(merge(compacted)(image), expected, atol=1e-5, rtol=1e-5)


def test_layer_without_any_triplet_left_is_the_base_layer():
    network = small_sam()
    layer = adapted_layers(network)["image_encoder.blocks.0.attn.qkv"]
    layer.rank_mask[:] = False
    empty = layer.compact()
    x = torch.randn(3, 32)
    assert torch.equal(empty(x), nn.functional.linear(x, layer.weight, layer.bias))
    assert torch.equal(empty.merged_weight(), layer.weight)


def test_only_adapters_train_in_the_encoder():
    network = small_sam()
    trained = {name for name, p in network.image_encoder.named_parameters() if p.requires_grad}
    assert trained == {f"blocks.{i}.attn.qkv.adapter_{part}" for i in range(2) for part in ("P", "lambda", "Q")}
    assert any(p.requires_grad for p in network.mask_decoder.parameters())


def test_training_moves_adapters_and_leaves_the_encoders_base_bit_by_bit():
    network = small_sam().train()
    before = {name: parameter.detach().clone() for name, parameter in network.image_encoder.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.1)
    for _ in range(2):  # lambda starts at 0, so that P and Q have a gradient only from the second step on
        optimizer.zero_grad()
        network(torch.rand(1, 1, 64, 64)).square().mean().backward()
        optimizer.step()
    for name, parameter in network.image_encoder.named_parameters():
        assert torch.equal(parameter, before[name]) != (".adapter_" in name)


def test_state_survives_copy_and_state_dict():
    network, image = wake(small_sam()), torch.rand(1, 1, 64, 64)
    torch.manual_seed(1)
    fresh = adapt(build_sam(NARROW, 64), QKV, rank=4, alpha=8)
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh(image), network(image))
    assert torch.equal(copy.deepcopy(network)(image), network(image))
    assert "ranks={q: 4, k: 4, v: 4}" in repr(network)


@pytest.mark.parametrize(
    ("targets", "rank", "message"),
    [
        ({"no.such.*": ["q"]}, 4, "no.such"),
        ({"image_encoder.blocks.0": ["q"]}, 4, "Block"),
        (QKV, 0, "at least 1, got 0"),
        (QKV, -3, "got -3"),
        (QKV, 33, "33"),
        ({"image_encoder.patch_embed.proj": ["q"]}, 4, "Conv2d"),
        ({"*.attn.qkv": ["q", "k", "v"], "*.blocks.0.attn.qkv": ["q"]}, 4, "AdaLoRALinear"),
    ],
)
def test_impossible_adapters_are_refused(targets, rank, message):
    with pytest.raises(BundleError, match=message):
        adapt(build_sam(NARROW, 64), targets, rank=rank, alpha=8)


def test_freezing_what_does_not_exist_is_refused():
    with pytest.raises(BundleError, match="encoder_image"):
        adapt(build_sam(NARROW, 64), QKV, rank=2, alpha=8, freeze=["encoder_image.*"])


@pytest.mark.parametrize(
    ("projections", "ranks", "message"),
    [([], 2, "0 projections"), (["a"] * 5, 2, "5 projections"), (["a", "b"], [2], "one"), (["a", "b"], [2, -1], "-1")],
)
def test_layer_refuses_projections_and_ranks_that_do_not_fit(projections, ranks, message):
    with pytest.raises(ValueError, match=message):
        AdaLoRALinear(nn.Linear(10, 12), projections, ranks)
