"""NIfTI films: axes, affines and spacings of any kind."""

from __future__ import annotations

from itertools import product

import nibabel
import numpy as np
import pytest
from dicom_files import HEIGHT, WIDTH, picture

from scripts.errors import BundleError
from scripts.films.canonical import canonical
from scripts.films.pose import UPRIGHT, Pose
from scripts.films.reading import read_film, read_size


def write(path, array: np.ndarray, affine=None, header=None):
    nibabel.save(nibabel.Nifti1Image(array, affine, header), path)
    return path


def placed(columns: tuple[int, int], rows: tuple[int, int], spacing=(0.2, 0.3)) -> np.ndarray:
    """An affine whose first axis runs along the world's axis columns[0], with the sign columns[1]; rows likewise."""
    affine = np.zeros((4, 4))
    affine[columns[0], 0] = columns[1] * spacing[1]
    affine[rows[0], 1] = rows[1] * spacing[0]
    affine[3 - columns[0] - rows[0], 2] = affine[3, 3] = 1
    affine[:3, 3] = 10, 20, 30
    return affine


@pytest.mark.parametrize("down", [1, 2], ids=["y", "z"])
@pytest.mark.parametrize("signs", product((1, -1), repeat=2))
@pytest.mark.parametrize("turned", [False, True])
def test_the_canonical_film_does_not_depend_on_order_and_sign_of_the_axes(tmp_path, turned, signs, down):
    """Right of the picture is the patient's left, below are the feet: by nibabel's own reorientation."""
    stored = picture().T.astype(np.float32)[..., None]
    axes = ((down, signs[0]), (0, signs[1])) if turned else ((0, signs[0]), (down, signs[1]))
    path = write(tmp_path / "a.nii.gz", stored, placed(*axes, spacing=(0.2, 0.2)))
    values, record = canonical(read_film(path))
    around = nibabel.as_closest_canonical(nibabel.load(path))
    expected = np.asarray(around.dataobj).squeeze(axis=3 - down)[::-1, ::-1].T
    np.testing.assert_array_equal(values, expected)
    assert record.sources["pose"] == "affine"


def test_header_without_a_place_is_silent(tmp_path):
    film = read_film(write(tmp_path / "a.nii", picture()[..., None]))  # qform and sform codes are 0
    assert film.pose is None and film.pose_source == ""


def test_identity_says_nothing(tmp_path):
    assert read_film(write(tmp_path / "a.nii", picture()[..., None], np.eye(4))).pose is None


def test_affine_that_flattens_the_film_is_no_pose(tmp_path):
    header = nibabel.Nifti1Header()
    header["sform_code"], header["srow_x"], header["srow_z"] = 1, (0.2, 0, 0, 0), (0, 0, 1, 0)
    assert read_film(write(tmp_path / "a.nii", picture()[..., None], None, header)).pose is None


@pytest.mark.parametrize("shape", [(WIDTH, HEIGHT), (WIDTH, HEIGHT, 1), (WIDTH, 1, HEIGHT), (1, WIDTH, HEIGHT)])
def test_axes_of_one_voxel_do_not_count(tmp_path, shape):
    path = write(tmp_path / "a.nii", picture().T.reshape(shape), np.eye(4))
    np.testing.assert_array_equal(read_film(path).values, picture())
    assert read_size(path) == (WIDTH, HEIGHT)


def test_coronal_slice_of_a_volume_hangs_upright(tmp_path):
    """Axes x, y, z with one voxel along y, as converters write a frontal film."""
    film = read_film(write(tmp_path / "a.nii", picture().T[:, None, :], np.diag([-0.2, 1, -0.3, 1])))
    assert film.pose == UPRIGHT and film.spacing == pytest.approx((0.3, 0.2))


def test_spacing_and_its_aspect(tmp_path):
    film = read_film(write(tmp_path / "a.nii", picture().T[..., None], np.diag([-0.3, -0.6, 1, 1])))
    assert film.spacing == pytest.approx((0.6, 0.3)) and film.aspect == pytest.approx(2)
    assert (film.spacing_source, film.aspect_source) == ("pixdim", "pixdim")
    values, _ = canonical(film)
    assert values.shape == (2 * HEIGHT, WIDTH)


def test_rows_that_run_upwards_as_dcm2niix_writes_them(tmp_path):
    film = read_film(write(tmp_path / "a.nii.gz", picture().T[..., None], np.diag([-0.2, 0.2, 1, 1])))
    assert film.pose == Pose(flip_rows=True)
    np.testing.assert_array_equal(canonical(film)[0], picture()[::-1])


@pytest.mark.parametrize("shape", [(5, 6, 2), (2, 5, 6), (5, 6, 1, 3)])
def test_volumes_are_refused(tmp_path, shape):
    with pytest.raises(BundleError, match="volume.nii: expected one 2D image"):
        read_film(write(tmp_path / "volume.nii", np.zeros(shape, np.float32), np.eye(4)))
