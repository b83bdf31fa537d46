"""From a stored film to the canonical one and back: nothing moves, whatever the pose, the pixels and the field."""

from __future__ import annotations

import json
from itertools import product

import nibabel
import numpy as np
import pytest
import torch
from dicom_files import dicom_film
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd
from PIL import Image
from scipy import ndimage

from scripts.data import CanonicalFilmd, Letterboxd, LoadRadiographd
from scripts.data.loading import film_record
from scripts.data.prompts import PROMPT_BOX, bounding_box
from scripts.errors import BundleError
from scripts.films.canonical import canonical, square_shape
from scripts.films.field import Field
from scripts.films.film import StoredFilm
from scripts.films.pose import UPRIGHT, Pose
from scripts.films.reading import read_film
from scripts.films.record import Record

EIGHT = [Pose.numbered(number) for number in range(8)]
FIELDS = [None, 0.0, 9.0, -12.0]  # angles
ASPECTS = [1.0, 2.0, 0.6]
DIRECTIONS = {
    0: ("L", "F"),
    1: ("R", "F"),
    2: ("L", "H"),
    3: ("R", "H"),
    4: ("F", "L"),
    5: ("F", "R"),
    6: ("H", "L"),
    7: ("H", "R"),
}


def blob(height: int, width: int, x: float, y: float, radius: float) -> np.ndarray:
    """H x W soft disc in [0, 1]; its centre is at (x, y) of edges, as fractions of the sides."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    unit = min(height, width)
    away = np.hypot((columns - x * width) / unit, (rows - y * height) / unit)
    return np.clip((radius - away) * unit / 4 + 0.5, 0, 1).astype(np.float32)


def centre(values: np.ndarray) -> np.ndarray:
    """(x, y) of the centre of mass of H x W values."""
    return np.array(ndimage.center_of_mass(np.asarray(values, np.float64)))[::-1]


def dice(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one > 0.5, other > 0.5
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def record_of(pose: Pose, aspect: float, angle: float | None, height: int = 110, width: int = 130) -> Record:
    """Of a stored film of `height` x `width` pixels, with a field in its middle that is turned by `angle` degrees."""
    upright = (width, height) if pose.transpose else (height, width)
    rows, columns = square_shape(*upright, 1 / aspect if pose.transpose else aspect)
    if angle is None:
        return Record(height, width, pose, rows, columns)
    across, down = 0.8 * columns, 0.75 * rows
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    x = columns / 2 - (across * cosine - down * sine) / 2
    y = rows / 2 - (across * sine + down * cosine) / 2
    return Record(height, width, pose, rows, columns, field=Field(float(x), float(y), across, down, angle))


# The record


@pytest.mark.parametrize("field", FIELDS, ids=["whole", "upright field", "turned field", "field turned back"])
@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("pose", EIGHT, ids=lambda pose: f"pose{pose.number}")
def test_a_mask_comes_back_to_where_it_was(pose, aspect, field):
    record = record_of(pose, aspect, field)
    mask = blob(110, 130, 0.45, 0.55, 0.2)
    carried = record.apply(mask)
    assert carried.shape == record.shape and carried.dtype == np.float32
    back = record.restore(carried)
    assert back.shape == mask.shape and back.dtype == np.float32
    assert dice(back, mask) > 0.98
    assert np.abs(centre(back) - centre(mask)).max() < 0.1


@pytest.mark.parametrize("pose", EIGHT, ids=lambda pose: f"pose{pose.number}")
def test_a_pose_alone_and_an_upright_field_are_undone_exactly(pose):
    values = np.random.default_rng(0).random((110, 130), dtype=np.float32)
    whole = record_of(pose, 1.0, None)
    np.testing.assert_array_equal(whole.apply(values), pose.upright(values))
    np.testing.assert_array_equal(whole.restore(whole.apply(values)), values)
    record = record_of(pose, 1.0, FIELDS[1])
    back = record.restore(record.apply(values))
    inside = record.restore(np.ones(record.shape, np.float32)) > 0
    assert 0.55 < inside.mean() < 0.65
    np.testing.assert_array_equal(back, np.where(inside, values, 0))


@pytest.mark.parametrize("field", FIELDS[1:], ids=["upright", "turned", "turned back"])
def test_outside_the_field_is_zero(field):
    record = record_of(Pose.numbered(5), 1.0, field)
    restored = record.restore(np.ones(record.shape, np.float32))
    assert set(np.unique(restored.round(3))) == {0, 1}
    # By the corners: inside of all four edges
    corners = record.stored_corners()
    rows, columns = np.mgrid[: record.height, : record.width] + 0.5
    sides = [
        (b[0] - a[0]) * (rows - a[1]) - (b[1] - a[1]) * (columns - a[0])
        for a, b in zip(corners, np.roll(corners, -1, axis=0))
    ]
    inside = np.all(np.array(sides) > 0, axis=0) | np.all(np.array(sides) < 0, axis=0)
    assert (inside != (restored > 0.5)).mean() < 0.01 and 0.5 < inside.mean() < 0.65


@pytest.mark.parametrize("field", FIELDS, ids=["whole", "upright field", "turned field", "field turned back"])
@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("pose", EIGHT, ids=lambda pose: f"pose{pose.number}")
def test_the_matrix_and_the_pixels_agree(pose, aspect, field):
    record = record_of(pose, aspect, field)
    for x, y in ((0.4, 0.4), (0.55, 0.6)):
        stored = blob(110, 130, x, y, 0.1)
        found = record.to_stored() @ [*centre(record.apply(stored)), 1]
        np.testing.assert_allclose(found[:2], centre(stored), atol=0.15)
        canonical_blob = blob(*record.shape, x, y, 0.1)
        found = record.to_stored() @ [*centre(canonical_blob), 1]
        np.testing.assert_allclose(found[:2], centre(record.restore(canonical_blob)), atol=0.15)


@pytest.mark.parametrize("number, pose", enumerate(EIGHT))
def test_the_corners_of_the_whole_film_are_those_of_the_file(number, pose):
    corners = record_of(pose, 2.0, None).stored_corners()
    upper_left = {
        0: (0, 0),
        1: (130, 0),
        2: (0, 110),
        3: (130, 110),
        4: (0, 0),
        5: (0, 110),
        6: (130, 0),
        7: (130, 110),
    }
    assert sorted(map(tuple, corners.round(6))) == [(0, 0), (0, 110), (130, 0), (130, 110)]
    picture = np.zeros((110, 130))
    picture[-1 if corners[0][1] else 0, -1 if corners[0][0] else 0] = 1
    assert pose.upright(picture)[0, 0] == 1
    assert tuple(corners[0].round(6)) == upper_left[number]


@pytest.mark.parametrize("pose, aspect, field", product(EIGHT[::3], ASPECTS, FIELDS))
def test_a_record_survives_as_plain_values(pose, aspect, field):
    record = record_of(pose, aspect, field)
    record = Record(**{**record.__dict__, "inverted": True, "flags": ("a", "b"), "sources": {"pose": "EXIF"}})
    plain = record.as_dict()
    assert all(isinstance(value, (int, bool, str)) for value in plain.values())
    assert Record.of(json.loads(json.dumps(plain))) == record


@pytest.mark.parametrize(
    ("height", "width", "aspect", "shape"),
    [(100, 80, 1, (100, 80)), (100, 80, 2, (200, 80)), (100, 80, 0.5, (100, 160)), (3, 3, 1.5, (4, 3))],
)
def test_the_coarser_side_gets_more_pixels(height, width, aspect, shape):
    assert square_shape(height, width, aspect) == shape


def test_square_pixels_stay_within_the_bound_of_pixels():
    height, width = square_shape(8000, 8000, 4)
    assert height * width <= 80_000_000 and height / width == pytest.approx(4, rel=1e-3)


# From a stored film


def upright_film() -> np.ndarray:
    """96 x 128 grays without a surround, alike in no two places."""
    rng = np.random.default_rng(0)
    return (ndimage.gaussian_filter(rng.random((96, 128)), 3) * 1000).astype(np.float32)


@pytest.mark.parametrize("pose", EIGHT, ids=lambda pose: f"pose{pose.number}")
def test_all_poses_of_one_film_are_one_canonical_film(pose):
    film = upright_film()
    values, record = canonical(StoredFilm(pose.stored(film), pose=pose, pose_source="EXIF"))
    np.testing.assert_array_equal(values, film)
    assert record.sources["pose"] == "EXIF" and record.pose == pose and record.flags == ()


def test_a_film_that_says_nothing_is_taken_for_upright_and_whole():
    values, record = canonical(StoredFilm(upright_film()))
    np.testing.assert_array_equal(values, upright_film())
    assert record.sources == {"values": "as stored", "pose": "not stated", "spacing": "not stated", "field": "whole"}
    assert record.field is None and record.pose == UPRIGHT


@pytest.mark.parametrize("pose", EIGHT, ids=lambda pose: f"pose{pose.number}")
def test_every_second_row_with_its_spacing_is_the_same_film(pose):
    film = upright_film()
    halved = (film[::2] + film[1::2]) / 2  # pixels twice as high as wide, once upright
    aspect = 0.5 if pose.transpose else 2.0
    values, record = canonical(StoredFilm(pose.stored(halved), pose=pose, aspect=aspect))
    assert values.shape == film.shape
    assert np.abs(values - film).mean() < 0.05 * film.std()


@pytest.mark.parametrize("pose", EIGHT, ids=lambda pose: f"pose{pose.number}")
def test_a_stated_field_is_cut_out_in_every_pose(pose):
    film = upright_film()
    record = Record(*pose.stored(film).shape, pose, *film.shape)
    corners = np.array([(20, 10), (100, 10), (100, 90), (20, 90)])  # of the upright film
    matrix = record.to_stored()
    stored = (np.column_stack([corners - 0.5, np.ones(4)]) @ matrix.T)[:, :2] + 0.5
    values, record = canonical(
        StoredFilm(pose.stored(film), pose=pose, collimation=stored, collimation_source="CollimatorShape")
    )
    np.testing.assert_array_equal(values, film[10:90, 20:100])
    assert record.sources["field"] == "CollimatorShape"


# The transform


def written(folder, mask: np.ndarray, kind: str, pose: Pose, spacing=(0.2, 0.4)) -> dict[str, str]:
    """A film in `pose` whose bright part is `mask` (H x W, upright), and the mask; the pixels of the file are twice as
    wide as high."""
    stored = pose.stored((mask * 200 + upright_film()[: mask.shape[0], : mask.shape[1]] / 20).astype(np.uint8))
    labels = (pose.stored(mask) > 0.5).astype(np.uint8)
    if kind == "dicom":
        film = dicom_film(np.ascontiguousarray(stored), PixelSpacing=list(spacing))
        film.PatientOrientation = list(DIRECTIONS[pose.number])
        film.save_as(folder / "film.dcm", enforce_file_format=True)
        path = folder / "film.dcm"
    else:
        names = {"L": (0, -1), "R": (0, 1), "H": (1, 1), "F": (1, -1)}
        affine = np.eye(4)
        affine[:3, :2] = 0
        for axis, (towards, length) in enumerate(zip(DIRECTIONS[pose.number], spacing[::-1])):
            row, sign = names[towards]
            affine[row, axis] = sign * length
        affine[:3, 3] = 30, -20, 5
        nibabel.save(nibabel.Nifti1Image(stored.T[..., None], affine), folder / "film.nii.gz")
        path = folder / "film.nii.gz"
    Image.fromarray(labels * 255).save(folder / "mask.png")
    return {"image": str(path), "label": str(folder / "mask.png")}


def world(image: MetaTensor, values: np.ndarray) -> np.ndarray:
    """Where the centre of mass of the first channel lies in mm."""
    place = ndimage.center_of_mass(np.asarray(values[0], np.float64))
    return (np.asarray(image.affine, np.float64) @ [*place, 0, 1])[:3]


PIPELINE = [LoadRadiographd(["image", "label"]), CanonicalFilmd(["image", "label"])]


@pytest.mark.parametrize("kind", ["dicom", "nifti"])
@pytest.mark.parametrize("pose", EIGHT, ids=lambda pose: f"pose{pose.number}")
def test_affines_are_true_before_and_after(tmp_path, kind, pose):
    """The mask's centre lies at the same millimetre in the file's order, in the canonical film and in the letterbox."""
    paths = written(tmp_path, blob(96, 96, 0.4, 0.6, 0.2), kind, pose)
    loaded = PIPELINE[0](paths)
    before = world(loaded["image"], loaded["label"])
    framed = PIPELINE[1](dict(loaded))
    assert framed["label"].shape == framed["image"].shape
    np.testing.assert_allclose(world(framed["image"], framed["label"]), before, atol=0.06)
    boxed = Letterboxd(["image", "label"], 64)(dict(framed))
    np.testing.assert_allclose(world(boxed["image"], boxed["label"]), before, atol=0.15)


@pytest.mark.parametrize("kind", ["dicom", "nifti"])
@pytest.mark.parametrize("pose", EIGHT, ids=lambda pose: f"pose{pose.number}")
def test_the_canonical_film_is_upright_with_square_pixels(tmp_path, kind, pose):
    framed = Compose(PIPELINE)(written(tmp_path, blob(96, 96, 0.3, 0.6, 0.15), kind, pose))
    affine = np.asarray(framed["image"].affine)
    # Rows first: to the feet, then columns to the patient's left; RAS+ counts the other way
    assert affine[0, 1] == pytest.approx(-abs(affine[1, 0])) and affine[1, 0] < 0
    assert np.allclose(affine[:2, :2], [[0, affine[0, 1]], [affine[1, 0], 0]], atol=1e-9)
    bright = framed["image"][0].numpy() > 150
    assert dice(bright, framed["label"][0].numpy() / 255) > 0.95, "film and mask turn together"


@pytest.mark.parametrize("kind", ["dicom", "nifti"])
@pytest.mark.parametrize("pose", EIGHT, ids=lambda pose: f"pose{pose.number}")
def test_invertd_takes_a_prediction_into_the_order_of_the_file(tmp_path, kind, pose):
    transforms = Compose([*PIPELINE, Letterboxd(["image", "label"], 128)])
    paths = written(tmp_path, blob(96, 96, 0.4, 0.6, 0.2), kind, pose)
    item = transforms(paths)
    item["pred"] = MetaTensor(item["label"].as_tensor().clone() / 255)
    done = Invertd("pred", transforms, orig_keys="image", nearest_interp=False)(item)["pred"]
    mask = np.asarray(Image.open(paths["label"])) / 255
    assert done.shape == (1, *mask.shape[::-1]) and not done.applied_operations
    assert dice(done[0].numpy().T, mask) > 0.97
    np.testing.assert_allclose(np.asarray(done.affine), PIPELINE[0](paths)["image"].affine)
    assert film_record(done.meta).pose == pose


@pytest.mark.parametrize("pose", EIGHT, ids=lambda pose: f"pose{pose.number}")
def test_a_box_is_carried_along(tmp_path, pose):
    item = PIPELINE[0](written(tmp_path, blob(96, 96, 0.4, 0.6, 0.2), "dicom", pose))
    upright = item["label"].as_tensor().mT  # 1 x H x W in the file's order
    box = bounding_box(upright > 0)
    item["image"].meta[PROMPT_BOX] = torch.tensor(box)
    done = PIPELINE[1](item)
    expected = bounding_box(done["label"].as_tensor() > 127)
    np.testing.assert_allclose(done["image"].meta[PROMPT_BOX], expected, atol=1.01)


def test_a_mask_of_several_channels_follows_its_film(tmp_path):
    item = PIPELINE[0](written(tmp_path, blob(96, 96, 0.4, 0.6, 0.2), "dicom", Pose.numbered(5)))
    one = item["label"].as_tensor()
    item["label"] = MetaTensor(torch.cat([one, 255 - one]), meta=item["label"].meta)
    label = PIPELINE[1](item)["label"]
    assert len(label) == 2
    torch.testing.assert_close(label[0] + label[1], torch.full_like(label[0].as_tensor(), 255))


def test_a_mask_of_another_size_than_its_film_is_refused_by_name(tmp_path):
    item = written(tmp_path, blob(96, 96, 0.4, 0.6, 0.2), "dicom", UPRIGHT)
    Image.new("L", (50, 40)).save(item["label"])
    with pytest.raises(BundleError, match="mask.png: mask is 50 x 40 pixels but its image is 96 x 96"):
        PIPELINE[1](PIPELINE[0](item))


def test_a_plain_picture_is_handed_on_untouched(tmp_path):
    film = upright_film().astype(np.uint16)
    Image.fromarray(film).save(tmp_path / "a.png")
    image = Compose([LoadRadiographd("image"), CanonicalFilmd("image")])({"image": str(tmp_path / "a.png")})["image"]
    np.testing.assert_array_equal(image[0].numpy(), film)
    np.testing.assert_array_equal(image[0].numpy(), read_film(tmp_path / "a.png").values)
