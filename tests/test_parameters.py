"""Which parameters train, and how they are counted."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from conftest import NARROW, QKV, small_sam

from scripts.adapters import adapt, adapted_layers, compact
from scripts.errors import BundleError
from scripts.losses import DiceBCELoss
from scripts.parameters import parameter_account, parameter_counts, parameter_groups, print_account, train_only
from scripts.sam import build_sam

GROUPS = [
    {"patterns": ["*.adapter_*"], "lr": 1e-2},
    {"patterns": ["mask_decoder.*", "prompt_encoder.*"], "lr": 1e-3, "weight_decay": 0.5},
]


def test_groups_hold_every_trainable_parameter_once():
    network = small_sam()
    groups = parameter_groups(network, GROUPS)
    members = [id(p) for group in groups for p in group["params"]]
    assert sorted(members) == sorted(id(p) for p in network.parameters() if p.requires_grad)
    assert [group["lr"] for group in groups] == [1e-2, 1e-3] and groups[1]["weight_decay"] == 0.5
    assert len(groups[0]["params"]) == 2 * 3


def test_trainable_parameter_without_a_group_is_named():
    with pytest.raises(BundleError, match="prompt_encoder"):
        parameter_groups(small_sam(), GROUPS[:1])


def test_group_without_parameters_is_named():
    with pytest.raises(BundleError, match="quantizer"):
        parameter_groups(small_sam(), [{"patterns": ["*quantizer*"], "lr": 1.0}, {"patterns": ["*"], "lr": 1.0}])


def test_optional_group_may_match_nothing():
    groups = parameter_groups(small_sam(), [{"patterns": ["*quantizer*"], "lr": 1.0, "optional": True}, *GROUPS])
    assert [group["lr"] for group in groups] == [1e-2, 1e-3] and "optional" not in groups[0]


def test_train_only_never_thaws():
    network = train_only(small_sam(), ["*.adapter_lambda", "image_encoder.neck.*"])
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {f"image_encoder.blocks.{i}.attn.qkv.adapter_lambda" for i in range(2)}
    with pytest.raises(BundleError, match="nothing_here"):
        train_only(network, ["nothing_here.*"])


def test_account_adds_up_by_hand():
    network = small_sam()
    plain = sum(p.numel() for p in build_sam(NARROW, 64).parameters())
    account = parameter_account(network, target_budget=12)
    per_triplet = 32 + 32 + 1
    assert account["base"] == plain
    assert account["adapters"] == 2 * 3 * 4 * per_triplet and account["triplets"] == 24
    assert account["adapters_pruned"] == 12 * per_triplet
    decoder = sum(p.numel() for n, p in network.named_parameters() if p.requires_grad and "image_encoder" not in n)
    assert account["trainable"] == decoder + account["adapters"]
    assert account["ratio_pruned"] == pytest.approx(plain / (decoder + 12 * per_triplet))


def test_counts_leave_out_masked_triplets():
    network = small_sam()
    layers = adapted_layers(network).values()
    for layer in layers:
        layer.rank_mask[::2] = False
    counts = parameter_counts(network)
    masked = sum(len(layer.rank_mask) // 2 for layer in layers) * (32 + 32 + 1)
    assert counts["trainable"] - counts["trainable_pruned"] == masked
    pruned = parameter_counts(compact(network))
    assert pruned["trainable"] == pruned["trainable_pruned"] == counts["trainable_pruned"]
    assert pruned["all"] == counts["all"] - masked


def test_frozen_adapters_are_not_counted_as_pruned():
    network = train_only(small_sam(), ["mask_decoder.*"])
    next(iter(adapted_layers(network).values())).rank_mask[0] = False
    counts = parameter_counts(torch.nn.parallel.DataParallel(network))
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert counts["trainable"] == counts["trainable_pruned"] == trained > 0


def test_account_of_compacted_network_is_what_the_full_one_foretold():
    network = small_sam()
    for layer in adapted_layers(network).values():
        layer.rank_mask[::2] = False
    foretold = parameter_account(network, target_budget=12)
    real = parameter_account(compact(network), target_budget=12)
    assert real["adapters"] == foretold["adapters_pruned"]
    assert real["base"] == foretold["base"] and real["triplets"] == 12


def test_vit_b_trains_16_times_fewer_parameters_than_it_has():
    """The paper's reduction: SAM ViT-B, q, k and v from rank 48 to 32 on average, with decoder and prompt encoder."""
    with torch.device("meta"):
        network = adapt(build_sam("vit_b", 512), QKV, rank=48, alpha=48)
    account = parameter_account(network, target_budget=32 * 12 * 3)
    assert account["triplets"] == 48 * 12 * 3
    assert account["adapters"] == account["triplets"] * (768 + 768 + 1)
    assert account["adapters_pruned"] == 32 * 12 * 3 * (768 + 768 + 1)
    assert account["ratio_pruned"] >= 16.6 > account["ratio"]


def test_printed_account_shows_the_counts(capsys):
    account = print_account(small_sam(), target_rank=2)
    printed = capsys.readouterr().out
    for key in ("base", "adapters", "adapters_pruned", "trainable", "trainable_pruned"):
        assert f"{account[key]:,}" in printed
    assert f"{account['ratio_pruned']:.2f} x" in printed


def test_first_matching_group_takes_a_parameter_and_a_parallel_wrapper_is_looked_through():
    network = small_sam()
    groups = [{"patterns": ["*.adapter_lambda"], "lr": 1.0}, {"patterns": ["*"], "lr": 2.0}]
    for subject in (network, SimpleNamespace(module=network)):
        first, rest = parameter_groups(subject, groups)
        assert {id(p) for p in first["params"]} == {id(x.adapter_lambda) for x in adapted_layers(network).values()}
        trainable = sum(p.requires_grad for p in network.parameters())
        assert len(rest["params"]) == trainable - 2 and rest["lr"] == 2.0


def test_loss_is_dice_plus_binary_cross_entropy_by_hand():
    logits, target = torch.tensor([[[[2.0, -1.0]], [[0.0, 3.0]]]]), torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    p = logits.sigmoid()
    bce = -(target * p.log() + (1 - target) * (1 - p).log()).mean()
    overlap, size = (p * target).sum((2, 3)), (p + target).sum((2, 3))
    dice = (1 - (2 * overlap + 1e-5) / (size + 1e-5)).mean()
    assert float(DiceBCELoss()(logits, target)) == pytest.approx(float(dice + bce), rel=1e-5)
    assert float(DiceBCELoss(0.0, 2.0)(logits, target)) == pytest.approx(float(2 * bce), rel=1e-5)
