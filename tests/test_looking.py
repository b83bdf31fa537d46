"""Polarity and pose by looking: the integers, the phantoms, and whose word counts."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scripts.errors import BundleError
from scripts.films.canonical import HEART_ON_THE_RIGHT, INVERTED, TURNED, canonical
from scripts.films.film import StoredFilm
from scripts.films.looking import BRIGHTEST, POSES, SIDE, WEIGHTS, Classifier, Look, picture_of
from scripts.films.pose import UPRIGHT, Pose
from scripts.phantoms import generate_phantom

EIGHT = [Pose.numbered(number) for number in range(POSES)]
MIRROR = Pose(flip_columns=True)
CLASSIFIER = Classifier.load()
SEEDS = range(700, 716)


@cache
def phantom(seed: int) -> np.ndarray:
    return generate_phantom(seed, 192).image


def look_at(**states: float) -> Look:
    """Probabilities by number of the state, such as p0 for upright and p8 for its negative; the rest is shared."""
    probability = np.full(2 * POSES, (1 - sum(states.values())) / (2 * POSES - len(states)))
    for name, value in states.items():
        probability[int(name[1:])] = value
    return Look(probability)


class Says:
    """A classifier that sees `look` in the first picture and an upright film in others."""

    def __init__(self, look: Look) -> None:
        self.answer = look

    def look(self, film: np.ndarray) -> Look:
        return self.answer


# The network


def reference_logits(picture: np.ndarray) -> np.ndarray:
    """The same weights in torch's convolutions of 64-bit numbers."""
    values = torch.from_numpy(picture.astype(np.float64))[None, None]
    *convolutions, (weight, bias, scale) = CLASSIFIER.layers
    for kernel, shift, factor in convolutions:
        total = F.conv2d(values, torch.from_numpy(kernel.astype(np.float64)), stride=2, padding=1)
        total = total + torch.from_numpy(shift.astype(np.float64)).view(1, -1, 1, 1)
        assert bool((total == total.round()).all()) and float(total.abs().max()) < 2**31, "whole numbers of 32 bits"
        values = torch.floor(total * torch.from_numpy(factor).view(1, -1, 1, 1) + 0.5).clamp(0, BRIGHTEST)
    total = values.flatten(1) @ torch.from_numpy(weight.astype(np.float64)).T + torch.from_numpy(
        bias.astype(np.float64)
    )
    return (total * torch.from_numpy(scale))[0].numpy()


@pytest.mark.parametrize("kind", ["phantom", "noise", "black", "white"])
def test_numpy_computes_what_torch_does_with_the_same_integers(kind):
    rng = np.random.default_rng(0)
    pictures = {
        "phantom": [picture_of(phantom(seed)) for seed in (1, 2, 3)],
        "noise": [rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8) for _ in range(3)],
        "black": [np.zeros((SIDE, SIDE), np.uint8)],
        "white": [np.full((SIDE, SIDE), 255, np.uint8)],
    }[kind]
    for picture in pictures:
        np.testing.assert_allclose(CLASSIFIER.logits(picture), reference_logits(picture), rtol=1e-12, atol=1e-9)


def test_sums_stay_exact_in_float32():
    """The largest sum that weights of a layer and inputs of 8 bits can come to is below 2 ** 24."""
    for weight, bias, _ in CLASSIFIER.layers[:-1]:
        assert weight.dtype == np.int8 and bias.dtype == np.int32
        most = BRIGHTEST * np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1)
        assert (most + np.abs(bias.astype(np.int64))).max() < 2**24


def test_the_shipped_file_is_small():
    assert WEIGHTS.stat().st_size < 150_000


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_damaged_file_is_refused_by_name(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(BundleError, match="bad.npz: cannot be read as the classifier"):
        Classifier.load(tmp_path / "bad.npz")


def test_missing_file_and_file_of_something_else_are_refused_by_name(tmp_path):
    with pytest.raises(BundleError, match="none.npz: cannot be read as the classifier"):
        Classifier.load(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", a=np.ones(3), b=np.ones(3), c=np.ones(3))
    with pytest.raises(BundleError, match="other.npz: cannot be read as the classifier"):
        Classifier.load(tmp_path / "other.npz")


def test_probabilities_sum_to_one_and_scale_and_offset_of_the_grays_do_not_matter():
    film = phantom(1)
    look = CLASSIFIER.look(film)
    assert look.probability.sum() == pytest.approx(1) and look.probability.shape == (16,)
    np.testing.assert_array_equal(picture_of(film), picture_of(film * 4096 - 1024).astype(np.uint8))


def test_what_is_too_small_to_see_is_taken_as_it_is():
    assert CLASSIFIER.look(np.random.default_rng(0).random((7, 300))).upright


# A look


def test_the_turn_is_taken_where_the_side_of_the_heart_is_unsure():
    assert look_at(p3=0.6, p2=0.35).pose == Pose.numbered(3)
    assert look_at(p3=0.35, p2=0.6).pose == Pose.numbered(3)  # its mirror image is likelier, but not surely
    assert look_at(p3=0.01, p2=0.97).pose == Pose.numbered(2)


def test_confidences_by_hand():
    look = look_at(p0=0.5, p1=0.3, p8=0.1)  # the other thirteen have 0.1 / 13 each
    other = 0.1 / 13
    assert look.pose_confidence == pytest.approx(0.9 + other)
    assert look.negative == pytest.approx(0.1 + 7 * other) and not look.inverted
    assert look.polarity_confidence == pytest.approx(1 - look.negative)
    assert look.mirror_share == pytest.approx((0.3 + other) / (0.9 + other))
    assert look.upright


def test_more_is_needed_against_the_word_of_the_file():
    for confidence, silent, stated in ((0.95, True, False), (0.999, True, True), (0.6, False, False)):
        look = look_at(p3=confidence)
        assert (look.sure_of_pose(False), look.sure_of_pose(True)) == (silent, stated)
        look = look_at(p8=confidence)
        assert (look.sure_of_polarity(False), look.sure_of_polarity(True)) == (silent, stated)


# Phantoms


def test_it_never_acts_on_upright_phantoms():
    acted = {}
    for seed in SEEDS:
        film = phantom(seed)
        values, record = canonical(StoredFilm(film), CLASSIFIER)
        plain, without = canonical(StoredFilm(film))
        if record.flags or not np.array_equal(values, plain) or record.pose != without.pose:
            acted[seed] = record.flags
    assert acted == {}


@pytest.mark.parametrize("number", range(1, POSES))
def test_it_turns_phantoms_upright(number):
    """But for many hearts: a mirror is believed only where it is sure."""
    pose = Pose.numbered(number)
    right, turned = 0, 0
    for seed in SEEDS:
        film = phantom(seed)
        _, record = canonical(StoredFilm(np.ascontiguousarray(pose.stored(film))), CLASSIFIER)
        right += record.pose == pose
        turned += record.pose in (pose, pose.then(MIRROR))
        assert record.pose == UPRIGHT or TURNED in record.flags
        assert record.pose == UPRIGHT or record.sources["pose"].startswith("content")
    assert turned >= 0.9 * len(SEEDS)
    assert pose.mirrors or right >= 0.9 * len(SEEDS)


def test_it_inverts_negatives_and_the_canonical_film_is_the_positive():
    right = 0
    for seed in SEEDS:
        film = phantom(seed)
        plain, _ = canonical(StoredFilm(film))
        negative = film.max() + film.min() - film
        values, record = canonical(StoredFilm(negative, values_source="as stored"), CLASSIFIER)
        if record.inverted:
            assert INVERTED in record.flags and "inverted by content" in record.sources["values"]
            right += values.shape == plain.shape and bool(np.allclose(values, plain, atol=1e-5))
    assert right >= 0.9 * len(SEEDS)


# Whose word counts


def asymmetric() -> np.ndarray:
    """Grays without a surround, alike in no two places."""
    return np.random.default_rng(0).random((64, 48)).astype(np.float32)


@pytest.mark.parametrize("stated, confidence, acts", [(False, 0.95, True), (True, 0.95, False), (True, 0.999, True)])
def test_the_pose_of_the_file_counts_unless_it_is_contradicted_beyond_doubt(stated, confidence, acts):
    film = StoredFilm(
        asymmetric(), pose=UPRIGHT if stated else None, pose_source="PatientOrientation" if stated else ""
    )
    values, record = canonical(film, Says(look_at(p3=confidence)))
    assert (record.pose == Pose.numbered(3), TURNED in record.flags) == (acts, acts)
    np.testing.assert_array_equal(values, asymmetric()[::-1, ::-1] if acts else asymmetric())
    assert record.sources["pose"].startswith("content" if acts else "PatientOrientation" if stated else "not stated")


@pytest.mark.parametrize("stated, confidence, acts", [(False, 0.95, True), (True, 0.95, False), (True, 0.999, True)])
def test_the_polarity_of_the_file_counts_unless_it_is_contradicted_beyond_doubt(stated, confidence, acts):
    film = StoredFilm(asymmetric(), values_source="window 1", polarity_known=stated)
    values, record = canonical(film, Says(look_at(p8=confidence)))
    assert (record.inverted, INVERTED in record.flags) == (acts, acts)
    expected = asymmetric().max() + asymmetric().min() - asymmetric() if acts else asymmetric()
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_a_look_is_at_the_film_as_the_file_hangs_it():
    """The file says upside down; what is seen after that is turned further."""
    film = StoredFilm(asymmetric(), pose=Pose.numbered(3), pose_source="PatientOrientation")
    _, record = canonical(film, Says(look_at(p5=0.999)))
    assert record.pose == Pose.numbered(3).then(Pose.numbered(5))


@pytest.mark.parametrize("confidence", [0.98, 0.9999])
def test_a_mirrored_heart_never_turns_a_film_whose_file_says_where_right_is(confidence):
    film = StoredFilm(asymmetric(), pose=UPRIGHT, pose_source="PatientOrientation")
    values, record = canonical(film, Says(look_at(p1=confidence)))
    np.testing.assert_array_equal(values, asymmetric())
    assert record.pose == UPRIGHT and record.sources["pose"] == "PatientOrientation"
    assert record.flags == ((HEART_ON_THE_RIGHT,) if confidence > 0.99 else ())


def test_mirrored_phantoms_whose_file_says_where_right_is_are_flagged_at_most():
    for seed in SEEDS:
        stored = np.ascontiguousarray(MIRROR.stored(phantom(seed)))
        values, record = canonical(StoredFilm(stored, pose=UPRIGHT, pose_source="PatientOrientation"), CLASSIFIER)
        assert record.pose == UPRIGHT and set(record.flags) <= {HEART_ON_THE_RIGHT}
        assert record.sources["pose"] == "PatientOrientation"


def test_a_mirrored_heart_turns_a_film_whose_file_is_silent():
    values, record = canonical(StoredFilm(asymmetric()), Says(look_at(p1=0.99)))
    np.testing.assert_array_equal(values, asymmetric()[:, ::-1])
    assert record.flags == (TURNED,)
