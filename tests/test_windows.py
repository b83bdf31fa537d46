"""Windows of DICOM films: their functions against pydicom, and which of them can be meant."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_files import dicom_film, write_dicom
from pydicom.pixels import apply_windowing

from scripts.films.reading import read_film
from scripts.films.windows import Window, can_be_meant
from scripts.phantoms import generate_phantom


def film_of(bits: int = 12) -> np.ndarray:
    """A phantom in `bits` bits."""
    image = generate_phantom(3, 128).image
    share = (image - image.min()) / (image.max() - image.min())
    return np.rint(share * (2**bits - 1)).astype(np.uint16)


FILM = film_of()


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("center, width", [(2000, 4096), (1500.5, 3000.25), (2047.5, 2), (-100, 9000)])
def test_each_function_is_the_one_of_pydicom(function, center, width):
    dataset = dicom_film(FILM, BitsStored=12, WindowCenter=center, WindowWidth=width)
    dataset.VOILUTFunction = function
    expected = apply_windowing(FILM, dataset)
    (window,) = Window.all_of(dataset, 4095)
    np.testing.assert_allclose(window.apply(FILM.astype(np.float32)), expected, atol=0.02)
    assert window.range == (0, 4095)


def test_linear_is_the_formula_of_the_standard_by_hand():
    """PS3.3 C.11.2.1.2.1: w 256 and c 128 leave 0 to 255 as they are."""
    values = np.arange(256, dtype=np.float32)
    np.testing.assert_allclose(Window(128, 256).apply(values), values, atol=1e-4)
    # ((x - 1.5) / 2 + 0.5) * 255
    shown = Window(2, 3).apply(np.array([0, 0.5, 1, 1.5, 2, 2.5, 5], np.float32))
    np.testing.assert_allclose(shown, [0, 0, 63.75, 127.5, 191.25, 255, 255])


def test_windows_come_in_order_and_those_without_width_are_none():
    dataset = dicom_film(FILM, WindowCenter=[10, 20, 30, 40], WindowWidth=[5, 0, -3, 1])
    first, *others = Window.all_of(dataset, 255)
    assert (first.center, first.width) == (10, 5) and others == [None, None, None]
    dataset.VOILUTFunction = "LINEAR_EXACT"  # any positive width will do
    assert [window and window.width for window in Window.all_of(dataset, 255)] == [5, None, None, 1]


@pytest.mark.parametrize("function", ["", "linear", "GAMMA"])
def test_function_that_is_unknown_counts_as_linear(function):
    dataset = dicom_film(FILM, WindowCenter=10, WindowWidth=5)
    dataset.VOILUTFunction = function
    assert Window.all_of(dataset, 255) == [Window(10, 5, "LINEAR", 255)]


def test_windows_of_unequal_count_and_of_no_number():
    assert Window.all_of(dicom_film(FILM, WindowCenter=[10, 20], WindowWidth=[5]), 255) == [Window(10, 5)]
    assert Window.all_of(dicom_film(FILM, WindowCenter=10), 255) == []
    assert Window.all_of(dicom_film(FILM), 255) == []


# Which of them can be meant


@pytest.mark.parametrize(
    ("window", "meant"),
    [
        (Window(2048, 4096), True),
        (Window(2048, 8000), True),  # dull, but all is there
        (Window(2048, 5000), True),
        (Window(9000, 1000), False),  # all black
        (Window(-5000, 1000), False),  # all white
        (Window(2000, 2), False),  # two grays
        (Window(40, 400), False),  # of a CT
        (Window(2048, 4096, "SIGMOID"), True),
        (Window(2000, 1, "SIGMOID"), False),
    ],
)
def test_window_must_leave_a_chest_to_be_seen(window, meant):
    assert can_be_meant(window, FILM.astype(np.float32)) is meant


def test_what_a_window_does_to_air_or_a_shutter_does_not_count():
    """Half of the picture is a black surround."""
    film = np.concatenate([FILM + 500, np.zeros_like(FILM)]).astype(np.float32)
    window = Window(500 + 2048, 4096)
    assert can_be_meant(window, film)
    assert not can_be_meant(Window(40, 400), film)


def test_picture_of_one_value_has_nothing_to_lose():
    assert can_be_meant(Window(5000, 10), np.full((9, 9), 7.0))


# Whole films


@pytest.mark.parametrize(
    "tags",
    [
        {"WindowCenter": 2048, "WindowWidth": 0},
        {"WindowCenter": 30000, "WindowWidth": 2000},
        {"WindowCenter": 2048, "WindowWidth": 1},
        {"WindowCenter": 2048, "WindowWidth": 20},
        {"WindowCenter": [2048, 40], "WindowWidth": [0, 300]},
    ],
    ids=["width 0", "outside", "width 1", "narrow", "two"],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_window_that_cannot_be_meant_leaves_the_film_as_without_it(tmp_path, tags, photometric):
    plain = read_film(write_dicom(tmp_path / "plain.dcm", FILM, photometric, BitsStored=12)).values
    film = read_film(write_dicom(tmp_path / "a.dcm", FILM, photometric, BitsStored=12, **tags))
    np.testing.assert_array_equal(film.values, plain)
    assert "cannot be meant" in film.values_source


def test_the_first_window_that_can_be_meant_is_taken_after_the_rescale(tmp_path):
    path = write_dicom(
        tmp_path / "a.dcm",
        FILM,
        BitsStored=12,
        RescaleSlope=2,
        RescaleIntercept=-1000,
        WindowCenter=[0, 3096],
        WindowWidth=[0, 8192],
    )
    film = read_film(path)
    assert film.values_source == "rescale, window 2"
    dataset = pydicom.dcmread(path)
    expected = apply_windowing(2.0 * FILM - 1000, dataset, index=1)
    brightest = dataset_range(expected)
    np.testing.assert_allclose(film.values / 4095, (expected - brightest[0]) / np.ptp(brightest), atol=1e-3)


def dataset_range(windowed: np.ndarray) -> tuple[float, float]:
    """pydicom scales to the range after the rescale: 0 to 4095 become -1000 to 7190."""
    assert windowed.min() >= -1000 and windowed.max() <= 7190
    return -1000.0, 7190.0
