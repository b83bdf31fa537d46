"""Prompt boxes stay inside the image, follow the mask, and reach the network."""

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image
from test_bundle import ROOT
from torch import nn

from scripts.data import PromptBoxd, PromptedBatch, list_images, with_boxes
from scripts.data.prompts import bounding_box, checked_box, clip_box
from scripts.errors import BundleError
from scripts.inferers import PromptedInferer


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


# Boxes of a request


def framed(path, size=64, **entries):
    """A film as configs/inference.yaml hands it to the network."""
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "inference.yaml"))
    parser.update({"bundle_root": str(ROOT), "image_size": size, "film_classifier": None})
    return parser.get_parsed_content("preprocessing")({"image": str(path), **entries})["image"]


@pytest.fixture
def spot(tmp_path):
    """A wide film, white frame of 8 pixels around it, with one bright rectangle at (30, 20) to (50, 30)."""
    film = np.full((56, 116), 255, dtype=np.uint8)
    film[8:48, 8:108] = np.random.default_rng(0).integers(10, 100, (40, 100))
    film[20:30, 30:50] = 200
    Image.fromarray(film).save(tmp_path / "film.png")
    return tmp_path / "film.png"


@pytest.mark.parametrize("name", ["box", "roi"])
def test_a_requested_box_stays_around_what_it_was_drawn_around(spot, name):
    image = framed(spot, **{name: [30, 20, 50, 30]})
    x0, y0, x1, y1 = image.meta["prompt_box"].tolist()
    assert (x0, y0, x1, y1) == pytest.approx((14.08, 7.68, 26.88, 14.08), abs=1)  # less the frame, by 64 / 100
    bright = bounding_box(image.as_tensor()[:, 2:23, 2:62] > 0.6)  # without what may be left of the frame
    assert np.abs(np.array(bright) + 2 - [x0, y0, x1, y1]).max() <= 1


def test_without_a_box_there_is_none(spot):
    assert "prompt_box" not in framed(spot).meta
    assert "prompt_box" not in framed(spot, box=None, roi=[]).meta


def test_a_box_that_reaches_into_the_frame_ends_at_the_film(spot):
    assert framed(spot, box=[0, 0, 116, 56]).meta["prompt_box"].tolist() == pytest.approx([0, 0, 64, 25.6], abs=0.7)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([0, 0, 21, 5], "reaches out of the image of 20 x 10 pixels"),
        ([0, -0.5, 20, 5], "reaches out"),
        ([4, 0, 4, 5], "x1 must be greater"),
        ([4, 5, 8, 5], "y1 greater"),
        ([4, 5, 8], "four numbers"),
        ([4, 5, 8, "x"], "four numbers"),
        ([4, 5, 8, None], "four numbers"),
        ([4, 5, 8, True], "four numbers"),
        ([4, 5, 8, float("inf")], "four numbers"),
        ("4589", "four numbers"),
        (7, "four numbers"),
    ],
)
def test_wrong_boxes_are_named(box, message):
    with pytest.raises(BundleError, match=message):
        checked_box(box, 20, 10)


def test_the_inferer_hands_the_box_of_the_metadata_on(spot):
    class Spy(nn.Module):
        def forward(self, image, boxes=None):
            self.boxes = boxes
            return image

    spy, inferer = Spy(), PromptedInferer()
    boxed = framed(spot, box=[30, 20, 50, 30])
    inferer(boxed[None], spy)
    assert spy.boxes.shape == (1, 4) and torch.equal(spy.boxes[0], boxed.meta["prompt_box"])
    inferer(framed(spot)[None], spy)
    assert spy.boxes is None


def test_a_table_puts_boxes_beside_the_films_that_it_lists(tmp_path, spot):
    (tmp_path / "b").mkdir()
    Image.open(spot).save(tmp_path / "b" / "other.png")
    table = tmp_path / "boxes.csv"
    table.write_text("file,x0,y0,x1,y1\nb/other.png,1,2,30,40\n")
    items = list_images(tmp_path)
    assert [item.get("box") for item in with_boxes(items, table, tmp_path)] == [["1", "2", "30", "40"], None]
    assert framed(items[0]["image"], box=["1", "2", "30", "40"]).meta["prompt_box"].shape == (4,)
    assert [item["box"] for item in with_boxes(items, [1, 2, 3, 4], tmp_path)] == [[1, 2, 3, 4]] * 2
    for content, message in [
        ("file,x0,y0,x1\n", "no column 'y1'"),
        ("file,x0,y0,x1,y1\nc.png,1,2,3,4\n", "c.png is no image below"),
        ("file,x0,y0,x1,y1\nfilm.png,1,2,3,4\nfilm.png,1,2,3,4\n", "film.png has more than one box"),
    ]:
        table.write_text(content)
        with pytest.raises(BundleError, match=message):
            with_boxes(items, table, tmp_path)
    with pytest.raises(BundleError, match="no such table"):
        with_boxes(items, tmp_path / "none.csv", tmp_path)
