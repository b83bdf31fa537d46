"""Copies of images are found, films that merely look alike are not, and groups keep them together."""

import csv
import io
from pathlib import Path

import imagehash
import numpy as np
import pytest
import yaml
from PIL import Image
from skimage.exposure import equalize_hist

from scripts.datasets.conversion import read_gray
from scripts.datasets.duplicates import Copy, alike, contradicting, find_copies, group
from scripts.datasets.fingerprints import fingerprint
from scripts.datasets.perceptual_hash import perceptual_hash, thumbnail
from scripts.errors import BundleError
from scripts.phantoms import generate_phantom

ROOT = Path(__file__).parents[1]
FILMS = ROOT.parent / "shared" / "cxr"
SETTINGS = yaml.safe_load((ROOT / "configs" / "prepare.yaml").read_text())
LIMITS = {key: SETTINGS[key] for key in ("distance", "correlation")}  # what the config ships
SEEDS = range(400, 424)


@pytest.fixture(scope="module")
def films():
    """256 x 256 grays in 0..1."""
    return [generate_phantom(seed, 256).image for seed in SEEDS]


def eight_bits(image):
    return Image.fromarray((image * 255).round().astype(np.uint8))


def as_jpeg(image, quality):
    buffer = io.BytesIO()
    eight_bits(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), dtype=np.float32)


def scaled(image, width, height, filter=Image.Resampling.BILINEAR):
    return np.asarray(eight_bits(image).resize((width, height), filter), dtype=np.float32)


CHANGES = {
    "half the size": lambda image: scaled(image, 128, 128),
    "another aspect": lambda image: scaled(image, 299, 224, Image.Resampling.BICUBIC),
    "JPEG of quality 30": lambda image: as_jpeg(image, 30),
    "16 bits": lambda image: (image * 65535).round(),
    "gamma 0.5": lambda image: image**0.5,
    "gamma 2": lambda image: image**2,
    "equalised": lambda image: equalize_hist(image),
    "inverted": lambda image: 1 - image,
    "noise": lambda image: image + np.random.default_rng(0).normal(0, 0.02, image.shape),
    "small, JPEG, other contrast": lambda image: as_jpeg(scaled(image, 224, 224) / 255.0, 60) ** 1.5,
}


# The hash


def test_hash_equals_imagehash_but_for_rounding(films):
    """ImageHash rounds the 32 x 32 pixels to 8 bits: a frequency beside the median may fall on its other side."""
    apart = []
    for image in films:
        theirs = int(str(imagehash.phash(eight_bits(image))), 16)
        ours = perceptual_hash(np.asarray(eight_bits(image), dtype=np.float32))
        apart.append((theirs ^ ours).bit_count())
    assert max(apart) <= 2 and np.mean(apart) < 0.5


def test_hash_equals_imagehash_where_nothing_is_rounded():
    for seed in range(20):
        image = np.random.default_rng(seed).integers(0, 256, (32, 32)).astype(np.uint8)
        assert perceptual_hash(image) == int(str(imagehash.phash(Image.fromarray(image))), 16)


def test_thumbnail_holds_every_rank_and_ignores_brightness_and_contrast(films):
    small = thumbnail(films[0])
    counts = np.bincount(small.ravel(), minlength=256)
    assert small.dtype == np.uint8 and small.shape == (64, 64) and counts.min() >= 4 and counts.max() <= 20
    assert np.abs(thumbnail(films[0] * 4095 + 7).astype(int) - small).max() <= 1
    assert len(np.unique(thumbnail(np.ones((50, 50))))) == 1


# Copies


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found(films, change):
    copies = [CHANGES[change](image) for image in films]
    found = find_copies([fingerprint(image) for image in [*films, *copies]], **LIMITS)
    assert {(copy.first, copy.second) for copy in found} == {(i, i + len(films)) for i in range(len(films))}
    assert not any(copy.identical for copy in found)
    assert all((copy.correlation < 0) == (change == "inverted") for copy in found)


def test_same_values_in_another_file_are_identical(films, tmp_path):
    eight_bits(films[0]).save(tmp_path / "a.png")
    eight_bits(films[0]).save(tmp_path / "b.bmp")
    marks = [fingerprint(read_gray(tmp_path / name)) for name in ("a.png", "b.bmp")]
    assert find_copies(marks, **LIMITS) == [Copy(0, 1, 0, pytest.approx(1.0, abs=1e-5), True)]


def test_distinct_and_mirrored_films_are_no_copies(films):
    marks = [fingerprint(image) for image in [*films, *(image[:, ::-1] for image in films)]]
    assert find_copies(marks, **LIMITS) == []


def test_two_films_of_one_patient_on_other_detectors_are_copies():
    """The phantom of a seed at two sizes is one patient with other noise."""
    marks = [fingerprint(generate_phantom(seed, size).image) for seed in (430, 431) for size in (128, 256)]
    assert [(copy.first, copy.second) for copy in find_copies(marks, **LIMITS)] == [(0, 1), (2, 3)]


@pytest.mark.skipif(not FILMS.is_dir(), reason="needs the development pool of real films")
def test_real_films_of_three_sources_are_no_copies_but_their_changed_copies_are():
    with (FILMS / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::6]
    films = [read_gray(FILMS / row["image"]) / 255 for row in rows]
    copies = [CHANGES[change](image) for image, change in zip(films, list(CHANGES) * len(films))]
    found = find_copies([fingerprint(image) for image in [*films, *copies]], **LIMITS)
    pairs = {(copy.first, copy.second) for copy in found}
    expected = {(i, i + len(films)) for i in range(len(films))}
    assert not {pair for pair in pairs if pair not in expected}
    assert len(pairs & expected) >= 0.99 * len(expected)


def test_blank_films_are_copies_only_if_they_are_equal():
    marks = [fingerprint(np.full((40, 40), value)) for value in (0.0, 0.0, 5.0)]
    assert [(copy.first, copy.second, copy.identical) for copy in find_copies(marks, **LIMITS)] == [(0, 1, True)]


def test_every_pair_within_the_distance_is_found():
    rng = np.random.default_rng(5)
    hashes = rng.integers(0, 1 << 63, 700, dtype=np.uint64) * np.uint64(2)
    for i in range(0, 300, 3):  # near ones, and near inverted ones
        flips = np.uint64(sum(1 << int(bit) for bit in rng.choice(64, i % 14, replace=False)))
        hashes[i + 300] = (hashes[i] ^ flips) if i % 2 else ~(hashes[i] ^ flips)
    found = {}
    for first, second, bits in alike(hashes, 12):
        found |= dict(zip(zip(first.tolist(), second.tolist()), bits.tolist()))
    expected = {}
    for i, one in enumerate(hashes.tolist()):
        for j, other in enumerate(hashes.tolist()[i + 1 :], start=i + 1):
            apart = (one ^ other).bit_count()
            if min(apart, 64 - apart) <= 12:
                expected[i, j] = min(apart, 64 - apart)
    assert found == expected and len(expected) > 90


@pytest.mark.parametrize("limits", [{"distance": 32, "correlation": 0.9}, {"distance": 5, "correlation": 0.0}])
def test_limits_that_mean_nothing_are_refused(limits):
    with pytest.raises(BundleError, match="distance must lie in 0..31 and correlation in 0..1"):
        find_copies([], **limits)


# Groups


def copy_of(first, second):
    return Copy(first, second, 0, 1.0, False)


def test_groups_hang_together_by_patient_and_by_copy():
    patients = ["b", "a", "c", "c", "d", "e"]
    assert group(patients, []) == patients
    assert group(patients, [copy_of(0, 2), copy_of(3, 4)]) == ["b", "a", "b", "b", "b", "e"]
    assert group(patients, [copy_of(0, 1)])[:2] == ["a", "a"]
    assert group([], []) == []


def test_what_is_held_back_less_contradicts():
    rows = [
        {"id": str(i), "group": name, "part": part}
        for i, (name, part) in enumerate(
            [("g", "train"), ("g", "test"), ("g", ""), ("g", "validation"), ("h", "train"), ("h", "train")]
        )
    ]
    assert [(row["id"], other["id"]) for row, other in contradicting(rows)] == [("0", "1"), ("3", "1")]
