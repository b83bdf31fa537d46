"""The bits of a stored DICOM pixel that hold its value."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_files import dicom_film, write_dicom

from scripts.films.reading import read_film
from scripts.films.stored_bits import stored_values


def ramp(bits: int = 12, signed: bool = False) -> np.ndarray:
    """A smooth film that uses all values of `bits` bits."""
    rows, columns = np.mgrid[:64, :64] / 63
    values = np.rint((rows + columns) / 2 * (2**bits - 1)).astype(np.int64)
    return values - 2 ** (bits - 1) if signed else values


def found(pixels: np.ndarray, **tags) -> np.ndarray:
    dataset = dicom_film(pixels)
    for name, value in tags.items():
        setattr(dataset, name, value)
    return stored_values(pixels, dataset)


def test_value_in_the_lower_bits_is_left_alone():
    pixels = ramp().astype(np.uint16)
    np.testing.assert_array_equal(found(pixels, BitsStored=12, HighBit=11), pixels)


def test_all_bits_in_use_are_left_alone():
    for dtype in (np.uint8, np.uint16, np.int16):
        pixels = ramp(8 * np.dtype(dtype).itemsize, np.issubdtype(dtype, np.signedinteger)).astype(dtype)
        np.testing.assert_array_equal(found(pixels), pixels)


@pytest.mark.parametrize("bits, high", [(12, 15), (10, 15), (12, 13), (14, 15), (10, 11)])
def test_value_in_the_upper_bits_is_shifted_down(bits, high):
    values = ramp(bits)
    pixels = (values << (high + 1 - bits)).astype(np.uint16)
    np.testing.assert_array_equal(found(pixels, BitsStored=bits, HighBit=high), values)


def test_signed_value_in_the_upper_bits_keeps_its_sign():
    values = ramp(12, signed=True)
    pixels = (values << 4).astype(np.int16)
    np.testing.assert_array_equal(found(pixels, BitsStored=12, HighBit=15, PixelRepresentation=1), values)


def test_high_bit_that_is_wrong_is_not_believed():
    """HighBit says 15, but the values fill the lower 12 bits."""
    pixels = ramp().astype(np.uint16)
    np.testing.assert_array_equal(found(pixels, BitsStored=12, HighBit=15), pixels)


def test_overlay_in_the_unused_bits_is_taken_out():
    """Retired in 2004 and still about: bit planes in the bits above the value (PS3.3, C.9.2)."""
    values = ramp()
    overlay = np.zeros_like(values)
    overlay[20:25, 10:50] = 1 << 12
    pixels = (values | overlay).astype(np.uint16)
    np.testing.assert_array_equal(found(pixels, BitsStored=12, HighBit=11), values)


def test_overlay_below_the_value_is_taken_out():
    values = ramp()
    pixels = ((values << 4) | (np.random.default_rng(0).random(values.shape) < 0.1)).astype(np.uint16)
    np.testing.assert_array_equal(found(pixels, BitsStored=12, HighBit=15), values)


def test_negative_values_without_their_sign_get_it_back():
    """Stored in 12 bits, the others zero: 0xFFF is -1."""
    values = ramp(12, signed=True)
    pixels = (values & 0xFFF).astype(np.int16)
    assert pixels.min() >= 0
    np.testing.assert_array_equal(found(pixels, BitsStored=12, HighBit=11, PixelRepresentation=1), values)


def test_values_that_need_more_bits_than_stated_are_kept():
    """BitsStored says 10, but the film is smooth over 12: cutting would make cliffs."""
    pixels = ramp(12).astype(np.uint16)
    np.testing.assert_array_equal(found(pixels, BitsStored=10, HighBit=9), pixels)


def test_colour_and_fractions_are_none_of_its_business():
    pixels = ramp(8).astype(np.float32)
    dataset = dicom_film(ramp(8).astype(np.uint16), BitsStored=12)
    assert stored_values(pixels, dataset) is pixels


def test_whole_file_with_high_bit_15_reads_as_the_one_with_11(tmp_path):
    values = ramp()
    low = write_dicom(tmp_path / "low.dcm", values.astype(np.uint16), BitsStored=12)
    high = dicom_film((values << 4).astype(np.uint16), BitsStored=12)
    high.HighBit = 15
    high.save_as(tmp_path / "high.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_film(tmp_path / "high.dcm").values, read_film(low).values)
