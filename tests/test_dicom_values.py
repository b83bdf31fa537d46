"""What a DICOM header says of values, polarity, pose, spacing and exposed field."""

from __future__ import annotations

from itertools import product

import numpy as np
import pydicom
import pytest
from dicom_files import dicom_film, picture, write_dicom
from pydicom.uid import DigitalXRayImageStorageForProcessing

from scripts.films.canonical import canonical
from scripts.films.dicom_field import collimation
from scripts.films.pose import Pose, pose_of_directions
from scripts.films.reading import read_film
from scripts.phantoms import generate_phantom

FOR_PROCESSING = {"PresentationIntentType": "FOR PROCESSING"}


def thickness() -> np.ndarray:
    """H x W in [0, 1]: what a radiologist sees as bright."""
    image = generate_phantom(9, 128).image
    return (image - image.min()) / np.ptp(image)


def grays(path) -> np.ndarray:
    return read_film(path).values


# FOR PROCESSING


@pytest.mark.parametrize(
    "relationship, sign, stored",
    [
        ("LIN", 1, lambda bright: np.exp(-3 * bright)),  # exposure
        ("LIN", -1, lambda bright: 1 - np.exp(-3 * bright)),
        ("LOG", 1, lambda bright: 1 - bright),  # its logarithm
        ("LOG", -1, lambda bright: bright),
        ("", 1, lambda bright: 1 - bright),
    ],
)
def test_film_for_processing_becomes_a_picture_of_bright_bone(tmp_path, relationship, sign, stored):
    bright = thickness()
    values = (stored(bright) * 4000 + 10).round().astype(np.uint16)
    tags = {"PixelIntensityRelationshipSign": sign, "PixelIntensityRelationship": relationship, **FOR_PROCESSING}
    film = read_film(write_dicom(tmp_path / "a.dcm", values, BitsStored=12, **tags))
    assert film.values_source.startswith("FOR PROCESSING") and film.polarity_known
    shown = (film.values - film.values.min()) / np.ptp(film.values)
    assert np.corrcoef(shown.ravel(), bright.ravel())[0, 1] > 0.99
    assert (np.diff(shown.ravel()[np.argsort(bright.ravel())]) >= -2e-3).all(), "the order of grays is kept"


def test_a_storage_class_for_processing_says_so_where_no_intent_does(tmp_path):
    film = dicom_film(picture(4000, np.uint16), PixelIntensityRelationship="LIN", PixelIntensityRelationshipSign=1)
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForProcessing
    film.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert read_film(tmp_path / "a.dcm").values_source == "FOR PROCESSING, LIN"
    film.PresentationIntentType = "FOR PRESENTATION"
    film.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(grays(tmp_path / "b.dcm"), picture(4000, np.uint16))


def test_the_sign_does_not_touch_a_film_for_presentation(tmp_path):
    """There the photometric interpretation alone says what is bright."""
    for sign in (1, -1):
        path = write_dicom(
            tmp_path / "a.dcm",
            picture(),
            PresentationIntentType="FOR PRESENTATION",
            PixelIntensityRelationship="LOG",
            PixelIntensityRelationshipSign=sign,
        )
        np.testing.assert_array_equal(grays(path), picture())


# Polarity


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", [None, "IDENTITY", "INVERSE"])
def test_polarity_is_told_by_the_interpretation_and_the_presentation_shape(tmp_path, photometric, shape):
    tags = {} if shape is None else {"PresentationLUTShape": shape}
    film = read_film(write_dicom(tmp_path / "a.dcm", picture(), photometric, **tags))
    inverted = photometric == "MONOCHROME1" or shape == "INVERSE"
    expected = int(picture().max()) + int(picture().min()) - picture().astype(int) if inverted else picture()
    np.testing.assert_array_equal(film.values, expected)
    # INVERSE belongs to MONOCHROME1, IDENTITY to MONOCHROME2: else the file contradicts itself
    agrees = shape is None or (shape == "INVERSE") == (photometric == "MONOCHROME1")
    assert film.polarity_known is agrees


def test_slope_of_zero_is_no_slope(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", picture(), RescaleSlope=0, RescaleIntercept=0)
    np.testing.assert_array_equal(grays(path), picture())


@pytest.mark.parametrize("value", [-2000, 63536])
def test_padding_is_found_signed_or_not(tmp_path, value):
    array = (picture(3000, np.int16, (20, 30)) - 1000).astype(np.int16)
    array[:, :4] = -2000
    film = dicom_film(array)
    film.add_new("PixelPaddingValue", "US" if value > 0 else "SS", value)
    film.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    shown = grays(tmp_path / "a.dcm")
    assert (shown[:, :4] == array[:, 4:].min()).all()


# Pose


@pytest.mark.parametrize("pair", [*product("LR", "HF"), *product("HF", "LR")])
def test_patient_orientation_in_all_eight_and_with_further_letters(tmp_path, pair):
    for words in (pair, (pair[0] + "P", pair[1] + "A")):
        film = read_film(write_dicom(tmp_path / "a.dcm", picture(), PatientOrientation=list(words)))
        assert film.pose == pose_of_directions(*pair) and film.pose_source == "PatientOrientation"


@pytest.mark.parametrize("words", [["A", "F"], ["L", ""], ["", ""], ["L", "P"], ["X", "Y"]])
def test_orientation_of_no_frontal_film_is_silence(tmp_path, words):
    film = read_film(write_dicom(tmp_path / "a.dcm", picture(), PatientOrientation=words))
    assert film.pose is None and film.pose_source == ""


def test_image_orientation_counts_where_the_patients_does_not(tmp_path):
    """Cosines in DICOM's LPS: columns run to the left, rows to the feet; then to the head."""
    for cosines, pose in (([1, 0, 0, 0, 0, -1], Pose()), ([1, 0, 0, 0, 0, 1], Pose(flip_rows=True))):
        film = read_film(write_dicom(tmp_path / "a.dcm", picture(), ImageOrientationPatient=cosines))
        assert film.pose == pose and film.pose_source == "ImageOrientationPatient"
    film = read_film(
        write_dicom(
            tmp_path / "a.dcm", picture(), ImageOrientationPatient=[1, 0, 0, 0, 0, 1], PatientOrientation=["L", "F"]
        )
    )
    assert film.pose == Pose() and film.pose_source == "PatientOrientation"


# Shape of the pixels


@pytest.mark.parametrize("name", ["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"])
def test_spacing_that_is_not_square_gives_the_shape_of_the_pixels(tmp_path, name):
    film = read_film(write_dicom(tmp_path / "a.dcm", picture(), **{name: [0.2, 0.1]}))
    assert film.aspect == pytest.approx(2) and film.aspect_source == name
    assert canonical(film)[0].shape == (14, 11)


def test_aspect_ratio_counts_where_no_spacing_is(tmp_path):
    film = read_film(write_dicom(tmp_path / "a.dcm", picture(), PixelAspectRatio=["2", "1"]))
    assert film.aspect == pytest.approx(2) and film.aspect_source == "PixelAspectRatio" and film.spacing is None
    film = read_film(write_dicom(tmp_path / "a.dcm", picture(), PixelAspectRatio=["2", "1"], PixelSpacing=[0.1, 0.1]))
    assert film.aspect == 1


@pytest.mark.parametrize("ratio", [["1", "1"], ["0", "1"], ["100", "1"], ["1", "1000"]])
def test_aspect_that_no_film_has_is_not_believed(tmp_path, ratio):
    assert read_film(write_dicom(tmp_path / "a.dcm", picture(), PixelAspectRatio=ratio)).aspect == 1


# Exposed field


def header(**tags) -> pydicom.Dataset:
    """Of a film of 100 rows and 200 columns."""
    return dicom_film(np.zeros((100, 200), np.uint8), **tags)


RECTANGLE = {"LeftVerticalEdge": 21, "RightVerticalEdge": 180, "UpperHorizontalEdge": 11, "LowerHorizontalEdge": 90}
TRUE = [(20, 10), (180, 10), (180, 90), (20, 90)]  # edges of pixels 21 to 180 and 11 to 90, counted from 1


def rectangle(name: str, **changed) -> dict:
    edges = {f"{name}{key}": value for key, value in {**RECTANGLE, **changed}.items()}
    return {f"{name}Shape": "RECTANGULAR", **edges}


@pytest.mark.parametrize("name", ["Collimator", "Shutter"])
def test_rectangle_is_counted_from_one_and_its_edges_belong_to_it(name):
    corners, source = collimation(header(**rectangle(name)))
    np.testing.assert_array_equal(corners, TRUE)
    assert source == f"{name}Shape"


def test_a_shutter_comes_before_a_collimator():
    tags = {**rectangle("Collimator"), **rectangle("Shutter", LeftVerticalEdge=41)}
    corners, source = collimation(header(**tags))
    assert source == "ShutterShape" and corners[0].tolist() == [40, 10]


def test_circle_and_polygon():
    circle = {"CollimatorShape": "CIRCULAR", "CenterOfCircularCollimator": [50, 100], "RadiusOfCircularCollimator": 40}
    corners, _ = collimation(header(**circle))
    np.testing.assert_allclose(corners, [(59.5, 9.5), (139.5, 9.5), (139.5, 89.5), (59.5, 89.5)])
    # Row \ column pairs of a field that is turned
    turned = [20, 60, 10, 150, 80, 160, 90, 50]
    corners, _ = collimation(header(CollimatorShape="POLYGONAL", VerticesOfThePolygonalCollimator=turned))
    np.testing.assert_allclose(corners, [(59.5, 19.5), (149.5, 9.5), (159.5, 79.5), (49.5, 89.5)])


def test_several_shapes_count_together():
    tags = rectangle("Shutter")
    tags |= {"ShutterShape": ["RECTANGULAR", "CIRCULAR"], "CenterOfCircularShutter": [50, 100]}
    tags["RadiusOfCircularShutter"] = 60
    corners, _ = collimation(header(**tags))
    np.testing.assert_allclose([corners.min(axis=0), corners.max(axis=0)], [(39.5, 10), (159.5, 90)])


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"CollimatorShape": "RECTANGULAR"},  # without its edges
        rectangle("Collimator", RightVerticalEdge=400),  # of the picture before it was scaled
        rectangle("Collimator", LeftVerticalEdge=100, RightVerticalEdge=101),  # nothing would be left
        {"CollimatorShape": "OVAL"},
    ],
    ids=["nothing", "no edges", "beyond the picture", "a line", "unknown shape"],
)
def test_a_field_that_cannot_be_meant_is_none(tags):
    assert collimation(header(**tags)) is None


def test_the_canonical_film_is_the_stated_field(tmp_path):
    array = picture(255, shape=(100, 200))
    film = read_film(write_dicom(tmp_path / "a.dcm", array, **rectangle("Collimator")))
    values, record = canonical(film)
    np.testing.assert_array_equal(values, array[10:90, 20:180])
    assert record.described()["field"] == "CollimatorShape: 20,10 180,10 180,90 20,90"


def test_a_field_of_the_whole_film_is_no_field(tmp_path):
    tags = rectangle(
        "Collimator", LeftVerticalEdge=1, RightVerticalEdge=200, UpperHorizontalEdge=1, LowerHorizontalEdge=100
    )
    values, record = canonical(read_film(write_dicom(tmp_path / "a.dcm", picture(255, shape=(100, 200)), **tags)))
    assert values.shape == (100, 200) and record.field is None
