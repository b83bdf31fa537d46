"""Phantoms: reproducible, anatomically plausible, varied, and readable as a data set."""

import csv
import itertools
import json

import numpy as np
import pytest
from PIL import Image

from scripts.data import DrawPhantomd, OrganBySeedd, PromptBoxd, RandOrgand, load_datalist, phantom_seeds
from scripts.errors import BundleError
from scripts.phantoms import contact_sheet, generate_phantom, write_detectors, write_phantoms

COUNT = 30


@pytest.fixture(scope="module")
def phantoms():
    return [generate_phantom(seed, 256) for seed in range(COUNT)]


@pytest.fixture(scope="module")
def normal_phantoms(phantoms):
    """30 without finding, at the size that is fastest to draw."""
    found = (generate_phantom(seed, 128) for seed in itertools.count(1000))
    return list(itertools.islice((phantom for phantom in found if phantom.finding == "normal"), COUNT))


def lungs(phantom):
    return np.isin(phantom.labels, (1, 2))


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


# Reproducible


def test_same_seed_gives_the_same_phantom_bit_by_bit(phantoms):
    for seed in (0, 7):
        again = generate_phantom(seed, 256)
        assert again.image.tobytes() == phantoms[seed].image.tobytes()
        assert again.labels.tobytes() == phantoms[seed].labels.tobytes()
        assert again.finding == phantoms[seed].finding
        assert all(np.array_equal(again.organs[name], mask) for name, mask in phantoms[seed].organs.items())


def test_phantom_does_not_depend_on_the_global_random_state(phantoms):
    np.random.seed(123)
    assert np.array_equal(generate_phantom(0, 256).image, phantoms[0].image)


def test_every_other_seed_gives_another_phantom(phantoms):
    assert len({phantom.image.tobytes() for phantom in phantoms}) == COUNT
    assert len({phantom.labels.tobytes() for phantom in phantoms}) == COUNT


def test_image_is_float_in_0_to_1_and_uses_the_range(phantoms):
    for phantom in phantoms:
        assert phantom.image.shape == phantom.labels.shape == (256, 256)
        assert phantom.image.dtype == np.float32 and phantom.labels.dtype == np.uint8
        assert np.isfinite(phantom.image).all() and phantom.image.min() >= 0 and phantom.image.max() <= 1
        assert np.ptp(np.percentile(phantom.image, (2, 98))) > 0.4


@pytest.mark.parametrize("size", [63, 1025, 0])
def test_size_out_of_range_is_refused(size):
    with pytest.raises(ValueError, match=f"64..1024, got {size}"):
        generate_phantom(0, size)


# Anatomy


def test_right_lung_lies_left_of_the_left_lung(phantoms):
    for phantom in phantoms:
        right, left = (np.argwhere(phantom.labels == value)[:, 1].mean() for value in (1, 2))
        assert right < 256 * 0.5 < left, phantom.seed


def test_labels_agree_with_the_organs(phantoms):
    for phantom in phantoms:
        for value, name in enumerate(("right_lung", "left_lung", "heart"), start=1):
            assert np.array_equal(phantom.labels == value, phantom.organs[name]), (phantom.seed, name)
        assert np.array_equal(phantom.organs["lungs"], lungs(phantom))


def test_lungs_and_heart_are_disjoint(phantoms):
    for phantom in phantoms:
        count = sum(phantom.organs[name].astype(int) for name in ("right_lung", "left_lung", "heart"))
        assert count.max() == 1, phantom.seed


def test_lungs_fill_a_plausible_share_of_the_film(phantoms):
    shares = np.array([lungs(phantom).mean() for phantom in phantoms])
    assert shares.min() > 0.08 and shares.max() < 0.50
    assert 0.18 < shares.mean() < 0.35  # hand-drawn masks of public sets cover a fifth to a third of the film


def test_heart_lies_more_on_the_left_side_of_the_patient(phantoms):
    def middle(phantom):
        right, left = (np.argwhere(phantom.labels == value)[:, 1] for value in (1, 2))
        return (right.max() + left.min()) / 2

    beside = [np.argwhere(phantom.labels == 3)[:, 1].mean() > middle(phantom) for phantom in phantoms]
    assert np.mean(beside) > 0.8


def test_lungs_are_darker_than_the_mediastinum(normal_phantoms):
    darker = [p.image[lungs(p)].mean() < p.image[p.organs["mediastinum"]].mean() for p in normal_phantoms]
    assert sum(darker) >= COUNT - 1


def test_lungs_are_darker_than_the_tissue_right_around_them(normal_phantoms):
    for phantom in normal_phantoms:
        around = phantom.organs["body"] & ~lungs(phantom)
        assert phantom.image[lungs(phantom)].mean() < phantom.image[around].mean(), phantom.seed


def test_effusion_takes_lung_away(phantoms):
    with_fluid = [generate_phantom(seed, 64) for seed in range(60)]
    with_fluid = [phantom for phantom in with_fluid if phantom.finding == "effusion"]
    assert with_fluid
    normal = np.mean([lungs(phantom).mean() for phantom in phantoms if phantom.finding == "normal"])
    assert np.mean([lungs(phantom).mean() for phantom in with_fluid]) < normal


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5])
def test_same_seed_at_another_size_is_the_same_patient(phantoms, seed):
    large = generate_phantom(seed, 512)
    assert large.finding == phantoms[seed].finding
    for value in (1, 2, 3):
        reduced = (large.labels == value).reshape(256, 2, 256, 2).mean(axis=(1, 3)) >= 0.5
        assert dice(reduced, phantoms[seed].labels == value) > 0.97, value


def test_phantoms_vary_in_shape_and_finding(phantoms):
    pairs = [dice(lungs(a), lungs(b)) for a, b in itertools.combinations(phantoms, 2)]
    assert np.mean(pairs) < 0.95
    assert {phantom.finding for phantom in phantoms} == {"normal", "effusion", "opacity", "device"}


# On disk


@pytest.mark.parametrize("classes", ["lungs", "organs"])
def test_written_phantoms_are_the_drawn_ones(tmp_path, classes):
    rows = write_phantoms(tmp_path, 3, 64, seed=11, classes=classes)
    for i, row in enumerate(rows):
        phantom = generate_phantom(11 + i, 64)
        image = np.asarray(Image.open(tmp_path / row["image"]))
        mask = np.asarray(Image.open(tmp_path / row["mask"]))
        assert np.abs(image / 255.0 - phantom.image).max() <= 0.5 / 255 + 1e-6
        assert np.array_equal(mask, phantom.labels if classes == "organs" else lungs(phantom) * np.uint8(255))
        assert row["finding"] == phantom.finding
    with (tmp_path / "manifest.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == rows
    assert json.loads((tmp_path / "phantoms.json").read_text()) == {
        "count": 3,
        "size": 64,
        "seed": 11,
        "classes": classes,
    }


@pytest.mark.parametrize("classes", ["lungs", "organs"])
def test_load_datalist_reads_what_write_phantoms_wrote(tmp_path, classes):
    rows = write_phantoms(tmp_path, 3, 64, classes=classes)
    items = load_datalist(tmp_path)
    assert [item["id"] for item in items] == [row["id"] for row in rows]
    assert {item["dataset"] for item in items} == {"phantom"} and len({item["patient"] for item in items}) == 3


def test_second_call_rewrites_nothing(tmp_path):
    first = write_phantoms(tmp_path, 2, 64)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert write_phantoms(tmp_path, 2, 64) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    "change", [{"count": 3}, {"size": 65}, {"seed": 1}, {"classes": "organs"}, {"detector": "film"}]
)
def test_folder_with_another_recipe_is_refused_and_left_alone(tmp_path, change):
    write_phantoms(tmp_path, 2, 64)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(BundleError, match=f"{tmp_path.name}: holds other images"):
        write_phantoms(tmp_path, **{"count": 2, "size": 64, **change})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_folder_with_foreign_images_is_refused(tmp_path):
    (tmp_path / "deep").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "deep" / "holiday.png")
    with pytest.raises(BundleError, match=f"{tmp_path.name}: holds other images"):
        write_phantoms(tmp_path, 1, 64)
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize("count", [0, -2])
def test_fewer_than_one_phantom_is_refused(tmp_path, count):
    with pytest.raises(BundleError, match=f"at least 1, got {count}"):
        write_phantoms(tmp_path / "new", count)
    with pytest.raises(BundleError, match=f"at least 1, got {count}"):
        phantom_seeds(count)
    assert not (tmp_path / "new").exists()


def test_unknown_classes_are_refused(tmp_path):
    with pytest.raises(BundleError, match="'lungs' or 'organs', got 'bones'"):
        write_phantoms(tmp_path, 1, classes="bones")


def test_unknown_detector_is_refused(tmp_path):
    with pytest.raises(BundleError, match="one of digital, film, got 'fluoroscope'"):
        write_phantoms(tmp_path, 1, detector="fluoroscope")


def test_detectors_show_other_patients_and_film_is_a_negative(tmp_path):
    write_detectors(tmp_path, 3, 96, seed=40)
    items = load_datalist(tmp_path)
    assert [(item["dataset"], item["id"]) for item in items] == [
        (name, f"{name}_phantom_{i:05d}") for name in ("digital", "film") for i in range(3)
    ]
    for seed, item in enumerate(items, start=40):
        drawn, shown = generate_phantom(seed, 96), np.asarray(Image.open(item["image"])) / 255
        assert np.array_equal(np.asarray(Image.open(item["label"])) > 0, lungs(drawn))
        agreement = np.corrcoef(shown.ravel(), drawn.image.ravel())[0, 1]
        assert agreement > 0.999 if item["dataset"] == "digital" else agreement < -0.9
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_detectors(tmp_path, 3, 96, seed=40)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_contact_sheet_shows_the_images_unchanged(tmp_path, phantoms):
    contact_sheet(phantoms[:3], tmp_path / "sheet.png", columns=2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (4 * 256, 2 * 256, 3)
    for i, (top, left) in enumerate([(0, 0), (0, 256), (512, 0)]):
        expected = np.repeat((phantoms[i].image * 255).astype(np.uint8)[..., None], 3, axis=2)
        assert np.array_equal(sheet[top : top + 256, left : left + 256], expected)


# On the fly


def test_pretraining_draws_the_phantom_of_the_seed_and_one_of_its_organs():
    seeds = phantom_seeds(3, first=5)
    assert [item["seed"] for item in seeds] == [5, 6, 7] and len({item["id"] for item in seeds}) == 3
    drawn = DrawPhantomd(64)(seeds[0])
    phantom = generate_phantom(5, 64)
    assert np.array_equal(drawn["image"][0].numpy(), phantom.image)
    present = {mask.tobytes() for mask in phantom.organs.values() if mask.any()}
    assert {mask.tobytes() for mask in drawn["organs"].numpy()} == present
    choose, seen = RandOrgand(0.3), set()
    choose.set_random_state(0)
    for _ in range(300):
        label = choose(drawn)["label"]
        assert label.shape == (1, 64, 64)
        seen.add((label[0].numpy() > 0).tobytes())
    assert seen == present


def test_both_lungs_are_asked_for_with_the_whole_image_and_organs_with_their_box():
    drawn = DrawPhantomd(64)(phantom_seeds(1, first=5)[0])
    lungs = generate_phantom(5, 64).organs["lungs"]
    assert np.array_equal(drawn["organs"][0].numpy(), lungs)
    choose, prompt = RandOrgand(0.3), PromptBoxd("label")
    choose.set_random_state(0)
    whole = 0
    for _ in range(300):
        chosen = prompt(choose(drawn))
        if chosen["whole_image"]:
            whole += 1
            assert chosen["boxes"].tolist() == [0, 0, 64, 64] and np.array_equal(chosen["label"][0].numpy() > 0, lungs)
        else:
            assert chosen["boxes"].tolist() != [0, 0, 64, 64] or chosen["label"].mean() > 0.5
    assert 0.2 < whole / 300 < 0.4
    by_seed = [OrganBySeedd()(dict(drawn, seed=seed)) for seed in range(len(drawn["organs"]) + 1)]
    assert [item["whole_image"] for item in by_seed] == [True] + [False] * len(drawn["organs"])
    with pytest.raises(BundleError, match="0..1, got 1.5"):
        RandOrgand(1.5)
