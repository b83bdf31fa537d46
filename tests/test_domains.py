"""Adapters as small files beside one frozen base."""

from __future__ import annotations

import pytest
import torch
from conftest import NARROW, randomize, sam_state

from scripts.adapters import adapt, adapted_layers
from scripts.domains import pack_domain, switch_domain
from scripts.errors import BundleError, CheckpointMismatch
from scripts.sam import build_sam
from scripts.sam.weights import read_checkpoint, save_weights

TARGETS = {"image_encoder.blocks.*.attn.qkv": ["q", None, "v"], "mask_decoder.transformer.*.q_proj": ["q"]}
FROZEN = ["image_encoder.*", "prompt_encoder.*", "mask_decoder.transformer.*"]


def adapted(base, size=64):
    return adapt(build_sam(NARROW, size, weights=base), TARGETS, rank=4, alpha=8, freeze=FROZEN)


@pytest.fixture
def base(tmp_path):
    save_weights(sam_state(randomize(build_sam(NARROW, 64))), tmp_path / "base.pt")
    return tmp_path / "base.pt"


@pytest.fixture
def trained(base, tmp_path):
    """A network as stage 1 leaves it: every trainable parameter changed, some triplets masked."""
    network = adapted(base)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        for layer in adapted_layers(network).values():
            layer.rank_mask[::3] = False
            layer.adapter_lambda[~layer.rank_mask] = 0
    save_weights({"model": network.state_dict()}, tmp_path / "stage1.pt")
    pack_domain(adapted(base), base, tmp_path / "stage1.pt", tmp_path / "adapter.pt")
    return network.eval()


def test_switched_base_is_the_trained_network_to_half_precision(base, trained, tmp_path):
    network = switch_domain(build_sam(NARROW, 64, weights=base), base, tmp_path / "adapter.pt").eval()
    image, box = torch.rand(2, 1, 64, 64), torch.tensor([[4.0, 8.0, 50.0, 60.0]]).expand(2, 4)
    plain = build_sam(NARROW, 64, weights=base).eval()
    with torch.no_grad():
        expected, found, untouched = (each(image, box) for each in (trained, network, plain))
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=5e-3)
    assert (untouched - expected).abs().max() > 10 * (found - expected).abs().max()
    assert not adapted_layers(network)


def test_file_holds_what_was_trained_and_nothing_of_the_base(base, trained, tmp_path):
    content = read_checkpoint(tmp_path / "adapter.pt")
    assert all(value.dtype == torch.float16 for value in content["parameters"].values())
    expected = {name for name, parameter in trained.named_parameters() if parameter.requires_grad}
    assert set(content["parameters"]) == expected
    kept = int(sum(layer.rank_mask.sum() for layer in adapted_layers(trained).values()))
    assert sum(sum(layer["ranks"]) for layer in content["layers"].values()) == kept
    assert not any("weight" in name and "encoder" in name for name in content["parameters"])


def test_adapter_fits_other_image_sizes(base, trained, tmp_path):
    network = switch_domain(build_sam(NARROW, 96, weights=base), base, tmp_path / "adapter.pt")
    with torch.no_grad():
        assert torch.isfinite(network(torch.rand(1, 1, 96, 96))).all()


def test_adapter_of_another_base_is_refused(base, trained, tmp_path):
    other = tmp_path / "other.pt"
    save_weights(sam_state(randomize(build_sam(NARROW, 64), seed=5)), other)
    with pytest.raises(BundleError, match=r"adapter.pt: trained on a base with SHA-256 .*other.pt has .* base_weights"):
        switch_domain(build_sam(NARROW, 64, weights=other), other, tmp_path / "adapter.pt")


def test_adapter_of_another_number_of_classes_is_refused(base, trained, tmp_path):
    with pytest.raises(CheckpointMismatch, match="adapter.pt: trained for 1 classes, the network has 2"):
        switch_domain(build_sam(NARROW, 64, out_channels=2, weights=base), base, tmp_path / "adapter.pt")


def test_file_of_another_kind_and_network_of_another_build_are_refused(base, trained, tmp_path):
    with pytest.raises(BundleError, match="stage1.pt: holds no 'base'"):
        switch_domain(build_sam(NARROW, 64, weights=base), base, tmp_path / "stage1.pt")
    content = read_checkpoint(tmp_path / "adapter.pt")
    name = "mask_decoder.mask_tokens.weight"
    content["parameters"][name] = content["parameters"][name][:1]
    save_weights(content, tmp_path / "cut.pt")
    with pytest.raises(CheckpointMismatch, match=r"cut.pt: mask_decoder.mask_tokens.weight \(1, 32\)"):
        switch_domain(build_sam(NARROW, 64, weights=base), base, tmp_path / "cut.pt")
    content["layers"] = {"image_encoder.blocks.9.attn.qkv": {}}
    save_weights(content, tmp_path / "deep.pt")
    with pytest.raises(CheckpointMismatch, match="deep.pt: adapts image_encoder.blocks.9.attn.qkv"):
        switch_domain(build_sam(NARROW, 64, weights=base), base, tmp_path / "deep.pt")


def test_parameter_beyond_half_precision_is_refused(base, tmp_path):
    network = adapted(base)
    with torch.no_grad():
        network.mask_decoder.mask_tokens.weight[0, 0] = 1e6
    save_weights({"model": network.state_dict()}, tmp_path / "stage1.pt")
    with pytest.raises(BundleError, match="mask_tokens.weight is beyond the range"):
        pack_domain(adapted(base), base, tmp_path / "stage1.pt", tmp_path / "adapter.pt")
