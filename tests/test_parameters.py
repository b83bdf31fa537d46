"""Which parameters train, and how they are counted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scripts.adapters import adapt
from scripts.errors import BundleError
from scripts.losses import DiceBCELoss
from scripts.parameters import parameter_account, parameter_groups, train_only
from scripts.sam import Architecture, build_sam

NARROW = Architecture(32, 2, 2, (1,), prompt_dim=32, decoder_heads=4, decoder_mlp_dim=64, decoder_head_hidden=32)
GROUPS = [
    {"patterns": ["*.adapter_*"], "lr": 1e-2},
    {"patterns": ["mask_decoder.*", "prompt_encoder.*"], "lr": 1e-3, "weight_decay": 0.5},
]


def adapted() -> nn.Module:
    return adapt(build_sam(NARROW, 64), {"*.attn.qkv": ["q", "k", "v"]}, rank=4, alpha=4)


def test_groups_hold_every_trainable_parameter_once():
    network = adapted()
    groups = parameter_groups(network, GROUPS)
    members = [id(p) for group in groups for p in group["params"]]
    assert sorted(members) == sorted(id(p) for p in network.parameters() if p.requires_grad)
    assert [group["lr"] for group in groups] == [1e-2, 1e-3] and groups[1]["weight_decay"] == 0.5
    assert len(groups[0]["params"]) == 2 * 3


def test_trainable_parameter_without_a_group_is_named():
    with pytest.raises(BundleError, match="prompt_encoder"):
        parameter_groups(adapted(), GROUPS[:1])


def test_group_without_parameters_is_named():
    with pytest.raises(BundleError, match="quantizer"):
        parameter_groups(adapted(), [{"patterns": ["*quantizer*"], "lr": 1.0}, {"patterns": ["*"], "lr": 1.0}])


def test_train_only_never_thaws():
    network = train_only(adapted(), ["*.adapter_lambda", "image_encoder.neck.*"])
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {f"image_encoder.blocks.{i}.attn.qkv.adapter_lambda" for i in range(2)}
    with pytest.raises(BundleError, match="nothing_here"):
        train_only(network, ["nothing_here.*"])


def test_account_adds_up_by_hand():
    network = adapted()
    plain = sum(p.numel() for p in build_sam(NARROW, 64).parameters())
    account = parameter_account(network, target_budget=12)
    per_triplet = 32 + 32 + 1
    assert account["base"] == plain
    assert account["adapters"] == 2 * 3 * 4 * per_triplet and account["triplets"] == 24
    assert account["adapters_pruned"] == 12 * per_triplet
    decoder = sum(p.numel() for n, p in network.named_parameters() if p.requires_grad and "image_encoder" not in n)
    assert account["trainable"] == decoder + account["adapters"]
    assert account["ratio_pruned"] == pytest.approx(plain / (decoder + 12 * per_triplet))


def test_loss_is_dice_plus_binary_cross_entropy_by_hand():
    logits, target = torch.tensor([[[[2.0, -1.0]], [[0.0, 3.0]]]]), torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    p = logits.sigmoid()
    bce = -(target * p.log() + (1 - target) * (1 - p).log()).mean()
    overlap, size = (p * target).sum((2, 3)), (p + target).sum((2, 3))
    dice = (1 - (2 * overlap + 1e-5) / (size + 1e-5)).mean()
    assert float(DiceBCELoss()(logits, target)) == pytest.approx(float(dice + bce), rel=1e-5)
    assert float(DiceBCELoss(0.0, 2.0)(logits, target)) == pytest.approx(float(2 * bce), rel=1e-5)
