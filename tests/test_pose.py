"""Poses: what files say of them, that they are the group of eight, and where their pixels go."""

from __future__ import annotations

from itertools import product

import nibabel
import numpy as np
import pytest
from PIL import Image, ImageOps

from scripts.films.affine import film_affine
from scripts.films.pose import UPRIGHT, Pose, pose_of_affine, pose_of_directions, pose_of_exif

STORED = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
EIGHT = [Pose.numbered(number) for number in range(8)]
OPPOSITE = {"R": "L", "L": "R", "H": "F", "F": "H"}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_as_pillow_does(orientation):
    picture = Image.fromarray(STORED)
    picture.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(pose_of_exif(orientation).upright(STORED), expected)


@pytest.mark.parametrize("orientation", [0, 9, -1, None, "6", 65535])
def test_other_numbers_are_no_exif_orientation(orientation):
    assert pose_of_exif(orientation) is None


def test_upright_and_stored_undo_each_other_and_the_eight_differ():
    pictures = [pose.upright(STORED) for pose in EIGHT]
    assert len({(picture.shape, picture.tobytes()) for picture in pictures}) == 8
    for pose, picture in zip(EIGHT, pictures):
        np.testing.assert_array_equal(pose.stored(picture), STORED)
    stack = np.stack([STORED, STORED[::-1]])
    for pose in EIGHT:  # any number of axes before rows and columns
        np.testing.assert_array_equal(pose.upright(stack)[1], pose.upright(STORED[::-1]))


def test_poses_are_numbered_and_zero_is_upright():
    assert [pose.number for pose in EIGHT] == list(range(8)) and EIGHT[0] == UPRIGHT
    np.testing.assert_array_equal(UPRIGHT.upright(STORED), STORED)


def test_one_pose_after_another_is_a_third_of_the_eight():
    for first, second in product(EIGHT, EIGHT):
        both = first.then(second)
        assert both in EIGHT
        np.testing.assert_array_equal(both.upright(STORED), second.upright(first.upright(STORED)))


def test_the_eight_are_the_symmetries_of_a_square():
    """Closed, associative, with inverses; five of order two at most, two of order four, not commutative."""
    for first, second, third in product(EIGHT, repeat=3):
        assert first.then(second).then(third) == first.then(second.then(third))

    def order(pose: Pose) -> int:
        power, count = pose, 1
        while power != UPRIGHT:
            power, count = power.then(pose), count + 1
        return count

    assert sorted(map(order, EIGHT)) == [1, 2, 2, 2, 2, 2, 4, 4]
    assert any(first.then(second) != second.then(first) for first, second in product(EIGHT, EIGHT))


def test_mirrors_are_those_that_change_the_sense_of_rotation():
    for pose in EIGHT:
        matrix = pose.to_stored(5, 7)
        assert pose.mirrors == (np.linalg.det(matrix[:2, :2]) < 0)


def test_a_pixel_of_the_upright_film_is_found_in_the_stored_one():
    for pose in EIGHT:
        upright = pose.upright(STORED)
        matrix = pose.to_stored(*STORED.shape)
        for row, column in np.ndindex(upright.shape):
            x, y, one = matrix @ (column, row, 1)
            assert one == 1 and upright[row, column] == STORED[int(y), int(x)]


# Directions of DICOM


def test_eight_pairs_of_directions_give_eight_poses_and_the_named_ones_are_right():
    assert pose_of_directions("L", "F") == UPRIGHT
    assert pose_of_directions("R", "F") == Pose(flip_columns=True)  # seen from behind
    assert pose_of_directions("R", "H") == Pose(flip_rows=True, flip_columns=True)  # upside down
    pairs = [*product("LR", "HF"), *product("HF", "LR")]
    assert len({pose_of_directions(*pair).number for pair in pairs}) == 8


@pytest.mark.parametrize("pair", [*product("LR", "HF"), *product("HF", "LR")])
def test_after_the_pose_columns_run_to_the_left_and_rows_to_the_feet(pair):
    """In the stored film a step along the columns leads to `pair[0]`, along the rows to `pair[1]`."""
    pose = pose_of_directions(*pair)
    turn = np.rint(pose.to_stored(20, 30)[:2, :2]).astype(int)  # columns: a step to the patient's left, one to the feet
    for step, towards in zip(turn.T, "LF"):
        axis = int(np.flatnonzero(step)[0])
        assert (pair[axis] if step[axis] > 0 else OPPOSITE[pair[axis]]) == towards


@pytest.mark.parametrize("pair", [("L", "L"), ("A", "F"), ("L", "P"), ("H", "F"), ("", ""), ("L", "-")])
def test_directions_that_are_no_frontal_film_are_no_pose(pair):
    assert pose_of_directions(*pair) is None


# Affines of NIfTI


def volume(across: int, signs: tuple[int, int], along: str) -> nibabel.Nifti1Image:
    """A volume whose axis `across` runs along x and whose other one along y or z, in mm of its own."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    down = 1 - across
    other = {"y": 1, "z": 2}[along]
    affine[0, across] = 0.3 * signs[0]
    affine[other, down] = 0.2 * signs[1]
    affine[3 - other, 2] = 1
    affine[:3, 3] = 5, -6, 7
    return nibabel.Nifti1Image(STORED.T[..., None].astype(np.float32), affine)


@pytest.mark.parametrize("along", ["y", "z"])
@pytest.mark.parametrize("signs", product((1, -1), repeat=2))
@pytest.mark.parametrize("across", [0, 1])
def test_affine_turns_as_nibabel_says_that_axes_run(across, signs, along):
    image = volume(across, signs, along)
    pose = pose_of_affine(image.affine)
    # Where nibabel says that axes lead to: columns of the picture are the first, rows the second
    names = {"R": "R", "L": "L", "A": "H", "P": "F", "S": "H", "I": "F"}
    columns, rows = (names[code] for code in nibabel.aff2axcodes(image.affine)[:2])
    assert pose == pose_of_directions(columns, rows)


@pytest.mark.parametrize("along", ["y", "z"])
@pytest.mark.parametrize("signs", product((1, -1), repeat=2))
@pytest.mark.parametrize("across", [0, 1])
def test_upright_film_is_the_closest_canonical_volume_of_nibabel(across, signs, along):
    image = volume(across, signs, along)
    canonical = nibabel.as_closest_canonical(image)
    axis = {"y": 1, "z": 2}[along]
    # RAS+: the first axis to the patient's right, `axis` to the head; a film has the left on the right, the feet below
    values = np.asarray(canonical.dataobj).squeeze(axis=3 - axis)
    np.testing.assert_array_equal(pose_of_affine(image.affine).upright(STORED), values[::-1, ::-1].T)


@pytest.mark.parametrize("pose", EIGHT, ids=lambda pose: f"pose{pose.number}")
def test_affine_that_is_written_for_a_pose_says_that_pose(pose):
    affine = film_affine((0.2, 0.3), pose, STORED.shape)
    assert pose_of_affine(affine) == pose
    zooms = np.linalg.norm(affine[:3, :2], axis=0)
    np.testing.assert_allclose(zooms, (0.3, 0.2))  # column, row, of the stored film


def test_oblique_affine_is_taken_for_the_nearest_pose():
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-0.2, -0.2, 1])
    assert pose_of_affine(affine) == UPRIGHT


def test_axes_that_both_run_across_or_neither_are_no_pose():
    sagittal = np.zeros((4, 4))
    sagittal[1, 0] = sagittal[2, 1] = sagittal[0, 2] = sagittal[3, 3] = 1
    assert pose_of_affine(sagittal) is None
