"""PNG, JPEG, BMP and TIFF films: what their fields say of pose, polarity and the shape of pixels."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from dicom_files import HEIGHT, WIDTH, picture
from PIL import Image, ImageOps

from scripts.films.canonical import canonical
from scripts.films.pose import pose_of_exif
from scripts.films.reading import read_film, read_size

SMOOTH = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8) * 2


def save(path, array: np.ndarray, orientation: int | None = None, **options):
    image = Image.fromarray(array)
    if orientation is not None:
        image.getexif()[0x0112] = orientation
        options["exif"] = image.getexif()
    image.save(path, **options)
    return path


def tiff16(path, array: np.ndarray, photometric: int, order: str = "<", extra: dict[int, tuple] | None = None):
    """An uncompressed TIFF of 16 bits, by hand (TIFF 6.0): no writer at hand makes WhiteIsZero of 16 bits."""
    height, width = array.shape
    tags = {
        256: ("H", width),
        257: ("H", height),
        258: ("H", 16),
        259: ("H", 1),
        262: ("H", photometric),
        273: ("I", 8),
        277: ("H", 1),
        278: ("H", height),
        279: ("I", array.size * 2),
        **(extra or {}),
    }
    pixels = array.astype(f"{order}u2").tobytes()
    directory = 8 + len(pixels)
    content = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, directory) + pixels
    content += struct.pack(f"{order}H", len(tags))
    for tag in sorted(tags):
        kind, value = tags[tag]
        code = {"H": 3, "I": 4}[kind]
        field = struct.pack(f"{order}{kind}", value)
        content += struct.pack(f"{order}HHI", tag, code, 1) + field + bytes(4 - len(field))
    path.write_bytes(content + bytes(4))
    return path


# Pose


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_stay_in_the_order_of_the_file_and_the_pose_is_told(tmp_path, orientation, suffix):
    path = save(tmp_path / f"a{suffix}", picture(), orientation)
    film = read_film(path)
    np.testing.assert_array_equal(film.values, picture())
    assert read_size(path) == (WIDTH, HEIGHT)
    # 1 is what everything says that never looked: it counts as silence
    assert film.pose == (None if orientation == 1 else pose_of_exif(orientation))
    assert film.pose_source == ("" if orientation == 1 else "Orientation")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_canonical_film_is_what_a_viewer_shows(tmp_path, orientation):
    path = save(tmp_path / "a.jpg", SMOOTH, orientation, quality=95)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    values, _ = canonical(read_film(path))
    np.testing.assert_array_equal(values, shown)
    assert read_size(path) == (64, 48)


@pytest.mark.parametrize("orientation", [0, 9, 200])
def test_orientation_that_does_not_exist_is_no_pose(tmp_path, orientation):
    film = read_film(save(tmp_path / "a.jpg", SMOOTH, orientation))
    assert film.pose is None and film.values.shape == SMOOTH.shape


def test_damaged_exif_costs_nothing(tmp_path):
    save(tmp_path / "whole.jpg", SMOOTH, 6, quality=95)
    content = (tmp_path / "whole.jpg").read_bytes()
    place = content.index(b"Exif\0\0") + 6
    (tmp_path / "a.jpg").write_bytes(content[:place] + b"\xff" * 12 + content[place + 12 :])
    np.testing.assert_array_equal(read_film(tmp_path / "a.jpg").values, np.asarray(Image.open(tmp_path / "whole.jpg")))


# Polarity


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_white_is_zero_is_inverted_within_its_own_range(tmp_path, order):
    array = picture(60000, np.uint16) + 100
    plain = read_film(tiff16(tmp_path / "plain.tif", array, 1, order))
    np.testing.assert_array_equal(plain.values, array)
    film = read_film(tiff16(tmp_path / "white.tif", array, 0, order))
    np.testing.assert_array_equal(film.values, int(array.max()) + int(array.min()) - array.astype(int))
    assert (plain.values_source, film.values_source) == ("as stored", "WhiteIsZero")


def test_8_bit_white_is_zero_is_inverted_once(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.tif", tiffinfo={262: 0})
    written = np.asarray(Image.open(tmp_path / "a.tif"))
    with Image.open(tmp_path / "a.tif") as image:
        white_is_zero = image.tag_v2[262] == 0
    np.testing.assert_array_equal(read_film(tmp_path / "a.tif").values, written if white_is_zero else picture())


# Shape of the pixels


def test_tiff_resolution_that_is_not_square_is_told(tmp_path):
    path = save(tmp_path / "a.tif", SMOOTH, x_resolution=100.0, y_resolution=200.0)
    film = read_film(path)
    assert film.aspect == pytest.approx(0.5) and film.aspect_source == "XResolution, YResolution"
    values, record = canonical(film)
    assert values.shape == (48, 128)  # a pixel is twice as wide as high
    assert record.sources["spacing"] == "XResolution, YResolution"


@pytest.mark.parametrize("suffix, name", [(".png", "pHYs"), (".jpg", "JFIF density"), (".bmp", None)])
def test_other_formats_tell_theirs(tmp_path, suffix, name):
    film = read_film(save(tmp_path / f"a{suffix}", SMOOTH, dpi=(100, 250)))
    if name is None:  # Pillow writes and reads one number alone
        assert film.aspect in (1.0, pytest.approx(0.4, abs=0.01))
    else:
        assert film.aspect == pytest.approx(0.4, abs=0.005) and film.aspect_source == name


@pytest.mark.parametrize("dpi", [(100, 100), (100, 100.4), (1, 600), (0, 0)])
def test_square_pixels_and_what_no_film_has_are_square(tmp_path, dpi):
    film = read_film(save(tmp_path / "a.tif", SMOOTH, x_resolution=dpi[0], y_resolution=dpi[1]))
    assert (film.aspect, film.aspect_source) == (1.0, "")


def test_spacing_is_none_where_a_picture_has_no_millimetres(tmp_path):
    assert read_film(save(tmp_path / "a.png", SMOOTH, dpi=(300, 300))).spacing is None
