"""Checkpoints: the official layout loads, positions are resized, anything else is refused by name."""

from __future__ import annotations

import pytest
import torch
from conftest import NARROW, QKV, official, randomize
from segment_anything.modeling.image_encoder import get_rel_pos

from scripts.adapters import adapt
from scripts.errors import BundleError, CheckpointMismatch, root_cause
from scripts.quantization import prepare
from scripts.sam import Architecture, build_sam, load_base_weights, save_weights
from scripts.sam.weights import read_weights, resize_absolute, resize_relative


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of the official layout: bare state dict, larger input, windows of 14."""
    path = tmp_path_factory.mktemp("weights") / "sam_narrow.pth"
    parts = randomize(official(448), seed=3)
    torch.save(parts.state_dict(), path)
    return path


def test_official_checkpoint_of_the_same_size_loads_bit_by_bit(checkpoint):
    network = build_sam(NARROW, 448, window_size=14, weights=checkpoint)
    for key, value in read_weights(checkpoint).items():
        assert torch.equal(network.state_dict()[key], value)


def test_positions_are_resized_to_another_input(checkpoint):
    network = build_sam(NARROW, 256, weights=checkpoint).eval()
    state, original = network.state_dict(), read_weights(checkpoint)
    resized = {key for key in original if original[key].shape != state[key].shape}
    assert resized == {
        "image_encoder.pos_embed",
        *(f"image_encoder.blocks.{i}.attn.rel_pos_{axis}" for i in range(2) for axis in "hw"),
    }
    assert all(torch.equal(original[key], state[key]) for key in original if key not in resized)
    assert state["image_encoder.blocks.0.attn.rel_pos_h"].shape[0] == 2 * 16 - 1
    assert network(torch.rand(1, 1, 256, 256)).isfinite().all()


def test_relative_positions_are_resized_as_sam_does_at_run_time():
    table = torch.randn(27, 16)
    coordinates = torch.arange(8)[:, None] - torch.arange(8)[None] + 7
    torch.testing.assert_close(resize_relative(table, 15)[coordinates], get_rel_pos(8, 8, table))


def test_resized_windows_compute_what_sam_computes_with_the_old_tables(checkpoint):
    """SAM resizes relative positions at each call: its encoder with the tables of another size is the reference."""
    network = build_sam(NARROW, 256, weights=checkpoint).eval()
    encoder = official(256, window_size=16)["image_encoder"]
    weights = read_weights(checkpoint)
    for name, parameter in encoder.named_parameters():
        parameter.data = weights[f"image_encoder.{name}"]
    assert encoder.blocks[0].attn.rel_pos_h.shape[0] == 2 * 14 - 1
    encoder.pos_embed = network.image_encoder.pos_embed
    image = torch.rand(1, 3, 256, 256)
    expected = encoder((image - network.pixel_mean) / network.pixel_std)
    torch.testing.assert_close(network.encode(image), expected, atol=1e-4, rtol=1e-4)


def test_absolute_positions_keep_their_place_on_the_image():
    """A linear ramp stays one, to a tenth of a token away from the border (bicubic weights bend it a little)."""
    ramp = (torch.arange(28) + 0.5) / 28
    table = torch.stack(torch.meshgrid(ramp, ramp, indexing="ij"), dim=-1)[None]
    fine = (torch.arange(16) + 0.5) / 16
    expected = torch.stack(torch.meshgrid(fine, fine, indexing="ij"), dim=-1)[None]
    inner = slice(2, -2)
    difference = resize_absolute(table, 16)[:, inner, inner] - expected[:, inner, inner]
    assert difference.abs().max() < 0.1 / 28


def test_weights_saved_under_the_key_model_load_too(checkpoint, tmp_path):
    weights = read_weights(checkpoint)
    torch.save({"model": weights, "epoch": torch.tensor(3)}, tmp_path / "medsam.pth")
    network = build_sam(NARROW, 448, window_size=14, weights=tmp_path / "medsam.pth")
    assert all(torch.equal(network.state_dict()[key], value) for key, value in weights.items())


def test_more_classes_than_multimask_outputs_start_from_the_last_token(checkpoint):
    network = build_sam(NARROW, 448, out_channels=5, weights=checkpoint)
    tokens = network.mask_decoder.mask_tokens.weight
    assert tokens.shape[0] == 6 and torch.equal(tokens[4], tokens[3]) and torch.equal(tokens[5], tokens[3])
    assert network(torch.rand(1, 1, 448, 448)).shape == (1, 5, 448, 448)


def test_checkpoint_that_does_not_fit_is_refused_by_key(checkpoint, tmp_path):
    weights = read_weights(checkpoint)
    weights["image_encoder.neck.9.bias"] = weights.pop("image_encoder.neck.1.bias")
    weights["mask_decoder.iou_token.weight"] = torch.zeros(1, 7)
    path = tmp_path / "other.pth"
    torch.save(weights, path)
    with pytest.raises(CheckpointMismatch) as caught:
        load_base_weights(build_sam(NARROW, 448), path)
    for part in (str(path), "image_encoder.neck.1.bias", "image_encoder.neck.9.bias", "mask_decoder.iou_token.weight"):
        assert part in str(caught.value)


def test_mismatch_counts_and_shows_the_shapes(checkpoint):
    with pytest.raises(CheckpointMismatch, match=r"missing \(first: image_encoder.blocks.2.*\)"):
        build_sam(Architecture(32, 3, 2, (1,), 32, 4, 64, 32), 448, window_size=14, weights=checkpoint)
    with pytest.raises(CheckpointMismatch, match=r"misshapen \(first: .* \(1, 28, 28, 32\) for \(1, 28, 28, 64\)\)"):
        build_sam(Architecture(64, 2, 2, (1,), 32, 4, 64, 32), 448, window_size=14, weights=checkpoint)


def test_unknown_key_is_named_for_many_classes_as_well(checkpoint, tmp_path):
    weights = read_weights(checkpoint)
    weights["mask_decoder.iou_prediction_head.layers.9.bias"] = torch.zeros(4)
    torch.save(weights, tmp_path / "other.pth")
    with pytest.raises(CheckpointMismatch, match="layers.9.bias"):
        build_sam(NARROW, 448, out_channels=5, weights=tmp_path / "other.pth")


def test_network_refuses_other_weights_even_if_the_host_is_not_strict():
    network = build_sam(NARROW, 64)
    with pytest.raises(CheckpointMismatch):
        network.load_state_dict({"image_encoder.pos_embed": torch.zeros(1, 4, 4, 32)}, strict=False)


def test_what_leaves_no_trace_in_the_shapes_is_compared_too(checkpoint):
    """1, 2 and 3 classes, the adapters' scaling and the bits: each alone refuses a checkpoint."""

    def build(classes=1, alpha=8, weight=7, activation=8):
        network = build_sam(NARROW, 64, out_channels=classes, weights=checkpoint)
        policy = [
            {"modules": "prompt_encoder.*", "precision": "fp32"},
            {"modules": "*", "weight": weight, "input": activation},
        ]
        return prepare(adapt(network, QKV, rank=2, alpha=alpha), policy)

    weights = build().state_dict()
    build().load_state_dict(weights)
    for change, key in (
        ({"classes": 3}, "mask_decoder.classes 1 for 3"),
        ({"alpha": 4}, "adapter_scaling 4 for 2"),
        ({"weight": 6}, "weight_quantizer.width 7 for 6"),
        ({"activation": 4}, "input_quantizer.width 8 for 4"),
    ):
        with pytest.raises(CheckpointMismatch, match=rf"different \(first: .*{key}\)"):
            build(**change).load_state_dict(weights)


def test_a_base_of_one_class_serves_several(tmp_path):
    save_weights({"model": build_sam(NARROW, 64).state_dict()}, tmp_path / "base.pt")
    network = build_sam(NARROW, 64, out_channels=3, weights=tmp_path / "base.pt")
    assert network.state_dict()["mask_decoder.classes"] == 3


class Payload:
    """Something that only pickle can store."""


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None, "list", "pickle"])
def test_damaged_or_unsafe_checkpoints_are_refused_by_name(tmp_path, content):
    path = tmp_path / "weights.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "list":
        torch.save([1, 2], path)
    elif content == "pickle":
        torch.save({"model": Payload()}, path)
    with pytest.raises(BundleError, match="weights.pt"):
        read_weights(path)


def test_no_damage_gives_anything_but_one_readable_error(tmp_path):
    """Single bytes of torch's older format overwritten, its tail cut, and other files under a checkpoint's name."""
    path = tmp_path / "weights.pt"
    torch.save({"a": torch.ones(30)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    damaged = [whole[:cut] for cut in range(0, len(whole), 3)]
    damaged += [whole[:i] + b"K" + whole[i + 1 :] for i in range(0, len(whole), 3)]
    damaged += [b"version https://git-lfs.github.com/spec/v1\n", b"<html>404</html>", b"0", b"\n"]
    other = set()
    for content in damaged:
        path.write_bytes(content)
        try:
            read_weights(path)  # damage to the numbers themselves cannot be seen
        except Exception as error:
            other |= {type(error).__name__} - {"BundleError"}
    assert other == set()


def test_failed_save_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "weights.pt"
    save_weights({"a": torch.ones(2)}, path)
    with pytest.raises(Exception) as caught:  # pickle has its own, which differs between versions
        save_weights({"a": lambda: None}, path)
    assert root_cause(caught.value) is None
    assert torch.equal(torch.load(path, weights_only=True)["a"], torch.ones(2))
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pt"]
