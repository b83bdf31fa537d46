"""The detail path of the mask decoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import NARROW, randomize, sam_state

from scripts.errors import BundleError, CheckpointMismatch
from scripts.quantization import PrecisionPolicy
from scripts.sam import build_sam
from scripts.sam.detail import DetailPath
from scripts.sam.weights import save_weights

DETAILED = replace(NARROW, detail_channels=4)


def test_new_path_adds_nothing(tmp_path):
    plain = randomize(build_sam(NARROW, 64))
    save_weights(sam_state(plain), tmp_path / "base.pt")
    detailed = build_sam(DETAILED, 64, weights=tmp_path / "base.pt").eval()
    image, boxes = torch.rand(2, 1, 64, 64), torch.tensor([[4.0, 8.0, 50.0, 60.0]]).expand(2, 4)
    with torch.no_grad():
        torch.testing.assert_close(detailed(image, boxes), plain(image, boxes))


def test_packed_features_are_unpacked_where_they_were():
    path = DetailPath(3, 8)
    image = torch.rand(2, 3, 64, 96)
    packed = path.encode(image)
    assert packed.shape == (2, 16 * 3, 4, 6)
    torch.testing.assert_close(torch.nn.functional.pixel_shuffle(packed, 4), path.stem(image))


def test_mask_follows_a_change_of_one_pixel_within_a_token():
    """With the tokens held as they were, logits move near the pixel and nowhere else."""
    network = randomize(build_sam(DETAILED, 64))
    image = torch.rand(1, 1, 64, 64)
    changed = image.clone()
    changed[0, 0, 20, 37] += 5.0
    with torch.no_grad():
        embedding = network.encode(image)
        features = network.encode(changed)
        features[:, :32] = embedding[:, :32]
        difference = (network.decode(features) - network.decode(embedding)).abs()[0, 0]
    assert difference[12:29, 29:46].max() > 0
    near = torch.zeros(64, 64, dtype=torch.bool)
    near[:50, 8:] = True  # six convolutions reach 26 pixels far
    assert difference[~near].max() == 0


def test_one_embedding_serves_many_boxes():
    network = randomize(build_sam(DETAILED, 64))
    boxes = torch.tensor([[0.0, 0.0, 64.0, 64.0], [10.0, 5.0, 40.0, 60.0]])
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        together = network.decode(network.encode(image), boxes)
        alone = torch.cat([network(image, box[None]) for box in boxes])
    torch.testing.assert_close(together, alone)


def test_network_without_the_path_refuses_weights_with_it(tmp_path):
    save_weights(sam_state(randomize(build_sam(DETAILED, 64))), tmp_path / "detailed.pt")
    with pytest.raises(CheckpointMismatch, match="unexpected .*mask_decoder.detail.stem"):
        build_sam(NARROW, 64, weights=tmp_path / "detailed.pt")


def test_rule_for_a_part_that_an_architecture_lacks_can_be_optional():
    rules = [{"modules": "mask_decoder.detail.*", "weight": 7, "optional": True}, {"modules": "*", "weight": 8}]
    assert PrecisionPolicy(rules).resolve(["a"])["a"].weight == 8
    assert PrecisionPolicy(rules).resolve(["a", "mask_decoder.detail.stem.0"])["mask_decoder.detail.stem.0"].weight == 7
    rules[0].pop("optional")
    with pytest.raises(BundleError, match="mask_decoder.detail.* matches no layer"):
        PrecisionPolicy(rules).resolve(["a"])
