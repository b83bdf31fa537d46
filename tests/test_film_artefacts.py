"""Augmentation by what surrounds, covers and bends films in hospitals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose
from scipy.ndimage import affine_transform, binary_erosion

from scripts.data import (
    RandDustd,
    RandMarkersd,
    RandNarrowWindowd,
    RandSurroundd,
    RandToneCurved,
    RandTubesd,
    film_surrounds,
)
from scripts.errors import BundleError
from scripts.phantoms import generate_phantom

ROOT = Path(__file__).resolve().parents[1]
SIZE = 128
ON_FILM = (RandTubesd, RandMarkersd, RandDustd, RandToneCurved, RandNarrowWindowd)
ALL = (RandSurroundd, *ON_FILM)


@pytest.fixture(scope="module")
def item():
    phantom = generate_phantom(5, SIZE)
    label = np.stack([phantom.organs["right_lung"], phantom.organs["left_lung"]])
    return {
        "image": MetaTensor(torch.from_numpy(phantom.image)[None], meta={"film": "phantom 5"}),
        "label": MetaTensor(torch.from_numpy(label).float(), meta={"film": "phantom 5"}),
    }


def changed(transform, item, count=25, state=0):
    """Results for `count` draws, as dictionaries of arrays."""
    transform.set_random_state(state)
    return [{key: np.asarray(value) for key, value in transform(item).items()} for _ in range(count)]


def film(image, label=None):
    tensors = {"image": torch.as_tensor(image, dtype=torch.float32)[None]}
    return tensors if label is None else tensors | {"label": torch.as_tensor(label, dtype=torch.float32)}


@pytest.mark.parametrize("kind", ALL)
def test_changed_films_are_films(item, kind):
    transform = kind("image", 1.0)
    for result in changed(transform, item):
        assert result["image"].shape == (1, SIZE, SIZE) and result["image"].dtype == np.float32
        assert 0 <= result["image"].min() and result["image"].max() <= 1
        assert result["label"].shape == (2, SIZE, SIZE) and result["label"].dtype == np.float32
    assert transform(item)["image"].meta["film"] == transform(item)["label"].meta["film"] == "phantom 5"


@pytest.mark.parametrize("kind", ALL)
def test_same_state_same_film(item, kind):
    first, again, other = (changed(kind("image", 0.7), item, state=state) for state in (3, 3, 4))
    assert all(np.array_equal(a[key], b[key]) for a, b in zip(first, again) for key in a)
    assert any(not np.array_equal(a["image"], b["image"]) for a, b in zip(first, other))


@pytest.mark.parametrize("kind", ALL)
def test_the_film_handed_in_stays_as_it_is(item, kind):
    """It is the cached one, from which every epoch starts."""
    before = {key: np.array(value) for key, value in item.items()}
    results = changed(kind("image", 1.0), item)
    assert all(np.array_equal(before[key], item[key]) for key in before)
    assert sum(np.array_equal(before["image"], result["image"]) for result in results) <= 2


@pytest.mark.parametrize("kind", ALL)
def test_probability_is_that_of_a_change(item, kind):
    unchanged = [result["image"] is item["image"] for result in map(kind("image", 0.0), [item] * 5)]
    assert all(unchanged)
    share = np.mean([not np.array_equal(r["image"], item["image"]) for r in changed(kind("image", 0.3), item, 200)])
    assert 0.2 < share < 0.4


@pytest.mark.parametrize("kind", ON_FILM)
def test_labels_stay_under_what_lies_on_a_film(item, kind):
    assert all(np.array_equal(result["label"], item["label"]) for result in changed(kind("image", 1.0), item))


# Surrounds and shutters


def test_nothing_is_lung_under_a_shutter():
    plain = np.full((SIZE, SIZE), 0.5, np.float32)
    results = changed(RandSurroundd("image", 1.0, shutters=1.0), film(plain, np.ones((2, SIZE, SIZE))), 100)
    for result in results:
        covered = abs(result["image"][0] - 0.5) > 0.05
        assert (result["label"][:, covered] < 1).all()
        assert np.allclose(result["image"][0][(result["label"] == 1).all(0)], 0.5)
        middle = slice(SIZE // 5, -SIZE // 5)
        assert (result["label"][:, middle, middle] == 1).all()
    cleared = [1 - result["label"].mean() for result in results]
    # 8 % a side leaves 0.84 ** 2
    assert max(cleared) < 1 - 0.84**2 and np.mean(cleared) > 0.05
    sides = np.sum(
        [[r["label"][0][index].max() < 1 for index in ((0,), (-1,), (..., 0), (..., -1))] for r in results], 1
    )
    assert set(range(1, 5)) <= set(sides)


def test_shutters_are_black_white_or_gray():
    plain = film(np.full((SIZE, SIZE), 0.5), np.ones((1, SIZE, SIZE)))
    shades = []
    for result in changed(RandSurroundd("image", 1.0, shutters=1.0), plain, 100):
        covered = result["label"][0] == 0
        shades.append(float(np.median(result["image"][0][covered]))) if covered.any() else None
    assert {"black", "white", "gray"} == {"black" if s < 0.1 else "white" if s > 0.9 else "gray" for s in shades}


def test_padding_is_no_part_of_a_film_that_shutters_cover():
    padded = np.zeros((SIZE, SIZE), np.float32)
    padded[:, :90] = 0.5
    for result in changed(RandSurroundd("image", 1.0, shutters=1.0), film(padded, padded[None] > 0), 40):
        assert (result["image"][..., 90:] == 0).all() and (result["label"][..., 90:] == 0).all()
        assert result["label"][0, SIZE // 2, 45] == 1


@pytest.mark.parametrize("width", [SIZE, 90])
def test_the_label_follows_a_shrunk_film(width):
    """Inside the film, grays that follow from the label still do; areas and angles are those that were asked for."""
    bar, inside = np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.float32)
    bar[20:110, 35:50] = 1
    inside[:, :width] = 1
    plain = (0.25 + 0.5 * bar) * inside
    transform = RandSurroundd("image", 1.0, shutters=0.0, scale=(0.6, 0.9), turn=15)
    angles = []
    for result in changed(transform, film(plain, np.stack([bar, inside])), 60):
        moved, within = result["label"]
        pixels = binary_erosion(within > 0.999, iterations=2)
        # Each gray is one straight function of the label: darkest and brightest gray are drawn, too
        line = np.polyfit(moved[pixels], result["image"][0][pixels], 1)
        assert abs(np.polyval(line, moved[pixels]) - result["image"][0][pixels]).max() < 1e-3
        assert 0.3 < line[0] <= 0.5 + 1e-3
        assert 0.6 - 0.02 < np.sqrt(moved.sum() / bar.sum()) < 0.9 + 0.02
        rows, columns = np.nonzero(moved > 0.5)
        spread = np.linalg.eigh(np.cov(columns, rows))[1][:, -1]
        angles.append(np.degrees(np.arctan(spread[0] / spread[1])))
    assert 10 < max(angles) < 15.5 and -10 > min(angles) > -15.5


def test_films_are_moved_as_scipy_moves_them():
    layer = np.random.default_rng(0).random((60, 60)).astype(np.float32)
    affine = np.array([[1.2, 0.2, -3.0], [-0.2, 1.2, 5.0]])
    # SciPy counts rows first, from the centre of the first pixel
    matrix = affine[::-1, 1::-1]
    offset = affine[::-1, 2] + matrix @ [0.5, 0.5] - 0.5
    expected = affine_transform(layer, matrix, offset, (50, 40), order=1)
    moved = film_surrounds.resampled(layer, affine, (50, 40))
    inside = film_surrounds.depth_within(affine, np.array([60, 60]), (50, 40)) > 1
    assert inside.mean() > 0.5
    np.testing.assert_allclose(moved[inside], expected[inside], atol=1e-4)


@pytest.mark.parametrize("setting", [{"scale": (0.9, 1.2)}, {"depth": 0.6}, {"turn": 90}, {"slant": -1}])
def test_impossible_surrounds_are_refused(setting):
    with pytest.raises(BundleError, match=f"{next(iter(setting))}.*got"):
        RandSurroundd("image", 1.0, **setting)


# What lies on films


def test_devices_only_add_attenuation(item):
    results = changed(RandTubesd("image", 1.0), item)
    assert all((result["image"] >= np.asarray(item["image"]) - 1e-6).all() for result in results)
    touched = [np.mean(result["image"] > np.asarray(item["image"]) + 0.02) for result in results]
    assert np.mean(touched) > 0.003 and max(touched) < 0.25


@pytest.mark.parametrize("kind", [RandMarkersd, RandDustd])
def test_marks_and_dust_leave_most_of_a_film(kind):
    plain = film(np.full((SIZE, SIZE), 0.5))
    touched = [np.mean(result["image"] != 0.5) for result in changed(kind("image", 1.0), plain, 100)]
    assert max(touched) < 0.5 and 0.005 < np.median(touched) < 0.15


def test_marks_are_black_white_and_gray():
    plain = film(np.full((SIZE, SIZE), 0.5))
    shades = np.concatenate([r["image"][r["image"] != 0.5] for r in changed(RandMarkersd("image", 1.0), plain, 60)])
    assert (shades == 0).mean() > 0.1 and (shades == 1).mean() > 0.1 and ((shades > 0.1) & (shades < 0.9)).any()


# Gray curves and windows


def test_curves_rise_from_black_to_white():
    ramp = np.linspace(0, 1, SIZE**2).reshape(SIZE, SIZE)
    curves = [result["image"].ravel() for result in changed(RandToneCurved("image", 1.0), film(ramp), 200)]
    for curve in curves:
        assert (np.diff(curve) >= 0).all() and curve[0] == 0 and curve[-1] == pytest.approx(1)
        assert len(np.unique(curve.round(3))) > 100  # bent, not posterised
    middles = [curve[SIZE**2 // 2] for curve in curves]
    assert min(middles) < 0.3 and max(middles) > 0.7


def test_a_window_clips_at_most_the_shares_that_it_may(item):
    plain = np.asarray(item["image"])
    within = plain > 0
    shares = []
    for result in changed(RandNarrowWindowd("image", 1.0, dark=0.2, bright=0.1), item, 60):
        shares.append([np.mean(result["image"][within] == 0), np.mean(result["image"][within] == 1)])
        order = np.argsort(plain, axis=None)
        assert (np.diff(result["image"].ravel()[order]) >= 0).all()
    dark, bright = np.max(shares, 0)
    assert 0.12 < dark < 0.22 and 0.06 < bright < 0.12


def test_a_window_leaves_a_film_without_contrast():
    results = changed(RandNarrowWindowd("image", 1.0), film(np.zeros((SIZE, SIZE))), 3)
    assert all((result["image"] == 0).all() for result in results)


def test_a_window_that_clips_all_is_refused():
    with pytest.raises(BundleError, match="0.6, 0.4"):
        RandNarrowWindowd("image", 1.0, dark=0.6, bright=0.4)


# The configs


@pytest.mark.parametrize("classes", [1, 3])
def test_training_augments_as_many_masks_as_there_are(item, classes):
    config = ConfigParser()
    config.read_config(ROOT / "configs" / "train.yaml")
    config["image_size"] = SIZE
    transforms = config.get_parsed_content("train::random_transforms")
    assert {type(transform) for transform in transforms} >= set(ALL)
    augment = Compose(transforms).set_random_state(0)
    label = item["label"][:1].repeat(classes, 1, 1)
    for _ in range(20):
        result = augment({"image": item["image"], "label": label})
        assert result["image"].shape == (1, SIZE, SIZE) and torch.isfinite(result["image"]).all()
        assert result["image"].min() == 0 and result["image"].max() == 1
        assert result["label"].shape == (classes, SIZE, SIZE)
        assert result["label"].min() >= -1e-6 and result["label"].max() <= 1 + 1e-6
