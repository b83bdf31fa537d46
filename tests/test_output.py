"""From probabilities to label maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import FillHolesd
from scipy.ndimage import gaussian_filter

from scripts.output import FillHolesByComponentd, LabelMapd


def blobs(seed: int, classes: int) -> np.ndarray:
    """H x W label map of irregular regions with holes, some of them open to the border."""
    noise = np.random.default_rng(seed).random((classes + 1, 96, 128))
    return np.stack([gaussian_filter(channel, 2) for channel in noise]).argmax(axis=0).astype(np.uint8)


def test_label_map_of_one_class_by_hand():
    probability = MetaTensor(torch.tensor([[[0.2, 0.5], [0.51, 0.9]]]), meta={"filename_or_obj": "a.png"})
    found = LabelMapd("pred")({"pred": probability})["pred"]
    assert found.dtype == torch.uint8 and found.tolist() == [[[0, 0], [1, 1]]]
    assert found.meta["filename_or_obj"] == "a.png"


def test_label_map_takes_the_most_probable_class_above_the_threshold():
    probability = torch.tensor([[[0.2, 0.6, 0.6]], [[0.3, 0.5, 0.9]]])
    assert LabelMapd("pred")({"pred": probability})["pred"].tolist() == [[[0, 1, 2]]]


@pytest.mark.parametrize("classes", [1, 3])
def test_holes_are_those_that_monai_fills(classes):
    labels = list(range(1, classes + 1))
    filled = 0
    for seed in range(5):
        mask = torch.from_numpy(blobs(seed, classes))[None]
        found = FillHolesByComponentd("pred", labels)({"pred": MetaTensor(mask.clone())})["pred"]
        expected = FillHolesd("pred", labels)({"pred": MetaTensor(mask.clone())})["pred"]
        assert torch.equal(found.as_tensor(), expected.as_tensor())
        filled += int((found.as_tensor() != mask).sum())
    assert filled > 100


def test_mask_without_holes_is_untouched_and_the_input_too():
    full = torch.ones(1, 8, 8, dtype=torch.uint8)
    ring = full.clone()
    ring[0, 3:5, 3:5] = 0
    data = {"pred": ring}
    assert torch.equal(FillHolesByComponentd("pred", [1])(data)["pred"], full)
    assert int(data["pred"].sum()) == 60
