"""Prompt boxes stay inside the image, follow the mask, and reach the network."""

import numpy as np
import pytest
import torch

from scripts.data import PromptBoxd, PromptedBatch
from scripts.data.prompts import bounding_box, clip_box
from scripts.errors import BundleError


def rectangle(height, width, x0, y0, x1, y1):
    mask = torch.zeros(1, height, width)
    mask[:, y0:y1, x0:x1] = 1
    return mask


def prompt(mask, seed=0, **settings):
    transform = PromptBoxd("label", **settings)
    transform.set_random_state(seed)
    return transform({"label": mask})["boxes"]


@pytest.mark.parametrize("box", [(3, 5, 9, 7), (0, 0, 20, 12), (19, 11, 20, 12), (0, 4, 1, 5)])
def test_box_of_a_rectangle_is_the_rectangle(box):
    assert bounding_box(rectangle(12, 20, *box)) == box


def test_box_spans_all_classes_and_all_pieces():
    mask = torch.zeros(2, 12, 20)
    mask[0, 3, 4] = 1
    mask[1, 8, 15] = 1
    mask[1, 5, 2] = 1
    assert bounding_box(mask) == (2, 3, 16, 9)


def test_empty_mask_has_no_box():
    assert bounding_box(torch.zeros(2, 5, 5)) is None


def test_box_without_jitter_is_the_bounding_box():
    assert prompt(rectangle(12, 20, 3, 5, 9, 8)).tolist() == [3, 5, 9, 8]


def test_every_side_is_jittered_on_its_own_and_within_the_bound():
    mask = rectangle(200, 300, 100, 80, 180, 140)
    shifts = np.array([prompt(mask, seed, jitter=10).numpy() - (100, 80, 180, 140) for seed in range(300)])
    assert np.abs(shifts).max() <= 10
    assert (np.abs(shifts).max(axis=0) > 9).all()  # each side uses the whole range
    assert (shifts.min(axis=0) < -8).all() and (shifts.max(axis=0) > 8).all()
    assert np.abs(np.corrcoef(shifts.T) - np.eye(4)).max() < 0.25
    assert np.abs(shifts.mean(axis=0)).max() < 1.5  # standard error 0.33


def test_box_always_lies_inside_the_image_and_is_never_turned():
    for seed in range(400):
        rng = np.random.default_rng(seed)
        height, width = rng.integers(8, 60, 2)
        x0, y0 = rng.integers(0, width), rng.integers(0, height)
        x1, y1 = rng.integers(x0 + 1, width + 1), rng.integers(y0 + 1, height + 1)
        box = prompt(rectangle(height, width, x0, y0, x1, y1), seed, jitter=float(rng.uniform(0, 100)))
        assert box.dtype == torch.float32 and box.shape == (4,)
        assert 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height
        assert box[2] - box[0] >= 2 - 1e-4 and box[3] - box[1] >= 2 - 1e-4


def test_turned_box_is_put_right_and_a_far_one_is_brought_back():
    assert clip_box(np.array([9.0, 7, 3, 5]), 20, 12).tolist() == [3, 5, 9, 7]
    assert clip_box(np.array([50.0, -40, 60, -30]), 20, 12).tolist() == [18, 0, 20, 2]


def test_probability_decides_between_mask_and_whole_frame():
    mask = rectangle(12, 20, 3, 5, 9, 8)
    assert all(prompt(mask, seed, probability=0).tolist() == [0, 0, 20, 20] for seed in range(30))
    assert all(prompt(mask, seed, probability=1).tolist() == [3, 5, 9, 8] for seed in range(30))
    share = np.mean([prompt(mask, seed, probability=0.3).tolist() == [3, 5, 9, 8] for seed in range(600)])
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 600)


def test_empty_mask_is_prompted_with_the_whole_frame():
    # what the network sees of a 20 x 12 image is the 20 x 20 frame around it
    assert prompt(torch.zeros(1, 12, 20), probability=1, jitter=10).tolist() == [0, 0, 20, 20]


def test_box_is_scaled_into_the_frame_that_the_network_sees():
    mask = rectangle(100, 200, 50, 20, 150, 80)
    assert prompt(mask, frame_size=64).tolist() == pytest.approx([16, 6.4, 48, 25.6])
    assert prompt(mask, frame_size=64, probability=0).tolist() == [0, 0, 64, 64]
    shifts = [prompt(mask, seed, frame_size=64, jitter=3).numpy() - [16, 6.4, 48, 25.6] for seed in range(100)]
    assert 2.5 < np.abs(shifts).max() <= 3 + 1e-4  # jitter counts in pixels of the frame
    for seed in range(100):  # the padding of the frame is no image
        assert prompt(rectangle(100, 200, 0, 0, 200, 100), seed, frame_size=64, jitter=20)[3] <= 32


def test_same_random_state_gives_the_same_boxes():
    mask = rectangle(50, 50, 10, 10, 30, 30)
    assert torch.equal(prompt(mask, 3, jitter=5, probability=0.5), prompt(mask, 3, jitter=5, probability=0.5))
    assert not torch.equal(prompt(mask, 3, jitter=5), prompt(mask, 4, jitter=5))


@pytest.mark.parametrize("settings", [{"probability": -0.1}, {"probability": 1.1}, {"jitter": -1}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(BundleError, match=f"{next(iter(settings))} must .*{next(iter(settings.values()))}"):
        PromptBoxd("label", **settings)


def test_batch_hands_the_boxes_to_the_network():
    batch = {"image": torch.rand(2, 1, 4, 4), "label": torch.rand(2, 1, 4, 4), "boxes": torch.rand(2, 4)}
    image, label, args, kwargs = PromptedBatch()(batch, torch.device("cpu"))
    assert torch.equal(image, batch["image"]) and torch.equal(label, batch["label"])
    assert len(args) == 1 and torch.equal(args[0], batch["boxes"]) and kwargs == {}


def test_batch_without_boxes_and_label_gives_the_image_alone():
    batch = {"image": torch.rand(2, 1, 4, 4)}
    image, label, args, kwargs = PromptedBatch()(batch, "cpu")
    assert torch.equal(image, batch["image"]) and label is None and args == () and kwargs == {}


def test_batch_keys_can_be_named():
    batch = {"film": torch.ones(1), "mask": torch.zeros(1), "prompt": torch.full((1,), 2.0)}
    image, label, args, _ = PromptedBatch("film", "mask", "prompt")(batch, "cpu")
    assert (image.item(), label.item(), args[0].item()) == (1, 0, 2)
