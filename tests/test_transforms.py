"""Framing of radiographs and its inverse, masks as channels, and the deterministic pipeline of training."""

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import Compose, Invertd, ScaleIntensityRangePercentilesd
from PIL import Image

from scripts.data import (
    CanonicalFilmd,
    Letterboxd,
    LoadRadiographd,
    MaskChannelsd,
    RandLocalContrastd,
    ScaleByPercentilesd,
)
from scripts.data.transforms import blur
from scripts.errors import BundleError
from scripts.films.looking import WEIGHTS
from scripts.output import Answerd, SaveMaskd


def disc(height, width, centre, radius):
    rows, columns = np.mgrid[:height, :width]
    return ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2).astype(np.float32)


def dice(a, b):
    a, b = np.asarray(a) > 0.5, np.asarray(b) > 0.5
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def training_transforms(size, classes=1, classifier=None):
    """LoadRadiographd to Letterboxd as in configs/train.yaml."""
    return Compose(
        [
            LoadRadiographd(["image", "label"]),
            MaskChannelsd("label", classes=classes),
            CanonicalFilmd(["image", "label"], classifier),
            ScaleByPercentilesd("image", lower=0.5, upper=99.5),
            Letterboxd(["image", "label"], size=size),
        ]
    )


# Grey values


@pytest.mark.parametrize(
    "values",
    [
        lambda rng: rng.integers(0, 256, (60, 50)),
        lambda rng: rng.integers(0, 4096, (61, 53)),
        lambda rng: rng.integers(-1024, 3000, (40, 40)),
        lambda rng: rng.integers(0, 1 << 20, (40, 40)),  # too many values to count
        lambda rng: rng.random((40, 40)),
        lambda rng: rng.normal(0, 100, (40, 40)),
    ],
    ids=["8 bits", "12 bits", "negative", "20 bits", "fractions", "real"],
)
@pytest.mark.parametrize("lower, upper", [(0.5, 99.5), (0.0, 100.0), (10.0, 37.3)])
def test_percentiles_scale_as_in_monai(values, lower, upper):
    image = torch.from_numpy(values(np.random.default_rng(3)).astype(np.float32))[None].transpose(1, 2)
    reference = ScaleIntensityRangePercentilesd("image", lower, upper, b_min=0.0, b_max=1.0, clip=True)
    expected = reference({"image": image.clone()})["image"]
    scaled = ScaleByPercentilesd("image", lower, upper)({"image": MetaTensor(image, meta={"spacing": 2})})["image"]
    torch.testing.assert_close(scaled.as_tensor(), torch.as_tensor(expected), atol=2e-6, rtol=0)
    assert scaled.meta["spacing"] == 2


@pytest.mark.parametrize("one", [7.0, 0.25])
def test_one_grey_value_becomes_zero_and_the_few_above_it_one(one):
    image = torch.full((1, 40, 50), one)
    image[0, 3, 4] = 2 * one
    scaled = ScaleByPercentilesd("image", 0.5, 99.5)({"image": image})["image"]
    torch.testing.assert_close(scaled, (image > one).float())


@pytest.mark.parametrize("lower, upper", [(-1, 99), (1, 101), (60, 40)])
def test_percentiles_out_of_range_are_refused(lower, upper):
    with pytest.raises(ValueError, match=f"got {lower} and {upper}"):
        ScaleByPercentilesd("image", lower, upper)


# Letterbox


@pytest.mark.parametrize(
    "height, width, inner", [(60, 30, (48, 24)), (30, 60, (24, 48)), (20, 20, (48, 48)), (96, 10, (48, 5))]
)
def test_letterbox_keeps_the_aspect_and_pads_right_and_bottom(height, width, inner):
    framed = Letterboxd("image", 48)({"image": torch.ones(1, height, width)})["image"]
    assert framed.shape == (1, 48, 48)
    expected = torch.zeros(48, 48)
    expected[: inner[0], : inner[1]] = 1
    torch.testing.assert_close(framed[0], expected)


def test_letterbox_scales_bilinearly_as_pil_does():
    array = np.random.default_rng(0).random((40, 80), dtype=np.float32)
    framed = Letterboxd("image", 32)({"image": torch.from_numpy(array)[None]})["image"]
    expected = np.asarray(Image.fromarray(array).resize((32, 16), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(framed[0, :16].numpy(), expected, atol=1e-3)


def test_image_of_the_target_size_is_untouched():
    array = torch.rand(2, 32, 32)
    framed = Letterboxd("image", 32)({"image": MetaTensor(array)})["image"]
    assert torch.equal(framed.as_tensor(), array)


def test_enlarged_mask_stays_where_it_was():
    """256 to 384 pixels: nearest neighbours would move every outline by a quarter of a pixel to one side."""
    mask = torch.from_numpy(disc(256, 256, (120.3, 130.8), 60)).float()[None]
    framed = Letterboxd("label", 384)({"label": mask})["label"][0].double()
    assert 0 <= framed.min() and framed.max() <= 1
    for axis in (0, 1):
        found = (framed.sum(1 - axis) * torch.arange(384)).sum() / framed.sum()
        place = (mask[0].double().sum(1 - axis) * torch.arange(256)).sum() / mask.sum()
        assert float(found) == pytest.approx(float((place + 0.5) * 1.5 - 0.5), abs=0.01)


@pytest.mark.parametrize("height, width", [(150, 100), (100, 150), (333, 401), (41, 64), (64, 64)])
def test_inverse_brings_a_prediction_back_to_the_image(height, width):
    mask = disc(height, width, (height * 0.6, width * 0.35), min(height, width) * 0.22)
    box = Letterboxd(["image", "label"], 128)
    data = box({"image": MetaTensor(torch.rand(1, height, width)), "label": MetaTensor(torch.from_numpy(mask)[None])})
    prediction = MetaTensor(data["label"].as_tensor() * 8 - 4)  # logits
    restored = Invertd("pred", box, orig_keys="image", nearest_interp=False)(dict(data, pred=prediction))["pred"]
    assert restored.shape == (1, height, width)
    assert dice(restored[0] > 0, mask) > 0.98
    # geometry, not only overlap: the centre of mass returns to within half a pixel of the network
    found = np.argwhere(np.asarray(restored[0]) > 0).mean(axis=0)
    assert np.abs(found - np.argwhere(mask).mean(axis=0)).max() < 0.5 * max(1, max(height, width) / 128)


def test_inverse_works_for_a_batch_of_different_sizes():
    masks = [disc(80, 50, (30, 30), 15), disc(50, 90, (20, 60), 14)]
    box = Letterboxd("image", 64)
    loader = DataLoader(
        Dataset([{"image": MetaTensor(torch.from_numpy(mask)[None])} for mask in masks], box), batch_size=2
    )
    batch = next(iter(loader))
    batch["pred"] = MetaTensor(batch["image"].as_tensor().clone())
    invert = Invertd("pred", box, orig_keys="image", nearest_interp=False)
    for item, mask in zip(decollate_batch(batch), masks):
        restored = invert(item)["pred"]
        assert restored.shape == (1, *mask.shape)
        assert dice(restored[0], mask) > 0.96


def test_inverse_leaves_no_trace_of_the_padding():
    box = Letterboxd("image", 64)
    data = box({"image": MetaTensor(torch.ones(1, 40, 100))})
    restored = box.inverse(data)["image"]
    torch.testing.assert_close(restored.as_tensor(), torch.ones(1, 40, 100))
    assert not restored.applied_operations


# Masks


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0,), (1,), (255,)])
def test_binary_mask_of_either_convention_becomes_zeros_and_ones(values):
    mask = np.random.default_rng(0).choice(values, (1, 6, 5)).astype(np.float32)
    channels = MaskChannelsd("label")({"label": torch.from_numpy(mask)})["label"]
    np.testing.assert_array_equal(channels.numpy(), (mask > 0).astype(np.float32))
    assert channels.dtype == torch.float32


def test_integer_mask_becomes_one_channel_a_class():
    mask = np.random.default_rng(0).integers(0, 4, (1, 6, 5))
    channels = MaskChannelsd("label", classes=3)({"label": torch.from_numpy(mask).float()})["label"]
    np.testing.assert_array_equal(channels.numpy(), np.stack([mask[0] == k for k in (1, 2, 3)]).astype(np.float32))


def test_absent_class_is_an_empty_channel():
    mask = torch.tensor([[[0.0, 2.0]]])
    channels = MaskChannelsd("label", classes=3)({"label": mask})["label"]
    assert channels.tolist() == [[[0, 0]], [[0, 1]], [[0, 0]]]


@pytest.mark.parametrize(
    "values, classes, message",
    [
        ((0, 128, 255), 1, "values 0, 128, 255; expected {0, 1} or {0, 255}"),
        ((0, 1, 2), 1, "values 0, 1, 2; expected"),
        ((0, 1, 4), 3, "values 0, 1, 4; expected 0 to 3"),
        ((0, 255), 2, "values 0, 255; expected 0 to 2"),
        ((0, 0.5), 1, "values 0, 0.5; expected"),
        ((-1, 0), 1, "values -1, 0; expected"),
    ],
)
def test_mask_with_other_values_is_refused_with_file_and_values(values, classes, message):
    mask = MetaTensor(torch.tensor([[list(values)]], dtype=torch.float32), meta={"filename_or_obj": "dir/odd.png"})
    with pytest.raises(BundleError) as caught:
        MaskChannelsd("label", classes=classes)({"label": mask})
    assert str(caught.value).startswith("dir/odd.png: ") and message in str(caught.value)


# The pipeline


def test_upright_picture_stays_upright_through_the_whole_pipeline(tmp_path):
    """Wider than high, bright in the top left corner, mask in the bottom left one."""
    image = np.full((40, 80), 50, dtype=np.uint8)
    image[:10, :20] = 250
    mask = np.zeros((40, 80), dtype=np.uint8)
    mask[25:, :20] = 255
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "m.png")
    item = training_transforms(64)({"image": str(tmp_path / "a.png"), "label": str(tmp_path / "m.png")})
    framed, label = item["image"][0].numpy(), item["label"][0].numpy()
    assert framed.shape == label.shape == (64, 64)
    expected_image = np.zeros((64, 64))
    expected_image[:8, :16] = 1
    expected_mask = np.zeros((64, 64))
    expected_mask[20:32, :16] = 1
    assert np.abs(framed - expected_image).mean() < 0.01
    np.testing.assert_array_equal(label > 0.5, expected_mask)


def test_pipeline_inverts_to_the_size_of_the_file(tmp_path):
    mask = disc(90, 140, (50, 40), 25).astype(np.uint8)
    Image.fromarray(mask * 200).save(tmp_path / "a.png")
    Image.fromarray(mask * 255).save(tmp_path / "m.png")
    transforms = training_transforms(64)
    item = transforms({"image": str(tmp_path / "a.png"), "label": str(tmp_path / "m.png")})
    item["pred"] = MetaTensor(item["label"].as_tensor().clone())
    restored = Invertd("pred", transforms, orig_keys="image", nearest_interp=False)(item)["pred"]
    # the inverse ends in the loader's axis order, x before y
    assert restored.shape == (1, 140, 90)
    assert dice(restored[0].numpy().T, mask) > 0.97


def test_pipeline_of_the_training_config_is_the_one_tested_here(tmp_path):
    parser = ConfigParser()
    parser.read_config("configs/train.yaml")
    parser["image_size"], parser["classes"] = 64, 3
    image = np.random.default_rng(0).integers(0, 256, (50, 70), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(image % 4).save(tmp_path / "m.png")
    data = {"image": str(tmp_path / "a.png"), "label": str(tmp_path / "m.png")}
    configured = Compose(parser.get_parsed_content("train::deterministic_transforms"))(data)
    tested = training_transforms(64, 3, WEIGHTS)(data)
    for key in ("image", "label"):
        assert torch.equal(configured[key].as_tensor(), tested[key].as_tensor())


# Local contrast


def test_local_contrast_changes_detail_but_neither_range_nor_place():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 96, 96, generator=generator) * 0.2
    image[:, 30:60, 20:70] += 0.6
    change = RandLocalContrastd("image", prob=1.0, sigma=(8.0, 8.0), strength=(1.0, 1.0))
    changed = change({"image": image, "label": image})
    assert torch.equal(changed["label"], image)
    assert changed["image"].shape == image.shape
    assert float(changed["image"].min()) == pytest.approx(float(image.min()), abs=1e-5)
    assert float(changed["image"].max()) == pytest.approx(float(image.max()), abs=1e-5)
    inside = slice(None), slice(35, 55), slice(30, 60)  # away from edges: detail against the level of the plateau
    assert changed["image"][inside].std() / changed["image"].std() > 1.1 * image[inside].std() / image.std()


def test_local_contrast_follows_its_seed_and_probability():
    image = torch.rand(1, 64, 64)
    settings = {"sigma": (4.0, 16.0), "strength": (-0.5, 1.5)}
    first, again = (RandLocalContrastd("image", prob=1.0, **settings) for _ in range(2))
    first.set_random_state(3)
    again.set_random_state(3)
    assert torch.equal(first({"image": image})["image"], again({"image": image})["image"])
    assert torch.equal(RandLocalContrastd("image", prob=0.0, **settings)({"image": image})["image"], image)


def test_blur_keeps_a_constant_and_spreads_a_point_by_about_sigma():
    assert torch.allclose(blur(torch.full((1, 40, 60), 0.7), 8.0), torch.full((1, 40, 60), 0.7), atol=1e-5)
    image = torch.zeros(1, 160, 160)
    image[:, 76:84, 76:84] = 1
    spread = blur(image, 8.0)[0].clamp(min=0)
    rows = torch.arange(160.0)
    weights = spread.sum(1) / spread.sum()
    deviation = ((rows - (rows * weights).sum()).square() * weights).sum().sqrt()
    assert 5 < deviation < 12


# White frames


def film(height, width):
    """Gray values 20 to 219 without white lines."""
    return torch.randint(20, 220, (1, height, width), generator=torch.Generator().manual_seed(0)).float()


def test_frame_is_taken_off_within_the_inference_pipeline(tmp_path):
    """A prediction of the film alone comes back at the film's place in the framed picture."""
    framed = torch.nn.functional.pad(film(60, 80), (12, 4, 10, 6), value=255)[0]
    Image.fromarray(framed.numpy().astype(np.uint8)).save(tmp_path / "a.png")
    parser = ConfigParser()
    parser.read_config("configs/inference.yaml")
    parser.update({"image_size": 64})
    before, after = (parser.get_parsed_content(name) for name in ("preprocessing", "postprocessing"))
    after.transforms = [step for step in after.transforms if not isinstance(step, (SaveMaskd, Answerd))]
    item = before({"image": str(tmp_path / "a.png")})
    done = after({**item, "pred": torch.full((1, 64, 64), 9.0)})["pred"][0].numpy().T
    assert done.shape == (76, 96)
    assert done[10:70, 12:92].all()
    rows, columns = np.nonzero(done.any(axis=1))[0], np.nonzero(done.any(axis=0))[0]
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert np.abs(np.array(found) - (12, 10, 92, 70)).max() <= 1  # a pixel of those that are looked at
