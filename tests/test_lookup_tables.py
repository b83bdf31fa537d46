"""Lookup tables of DICOM films, however their entries are written."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_files import dicom_film, picture, write_dicom
from pydicom.pixels import apply_modality_lut, apply_voi

from scripts.films.lookup_tables import LookupTable
from scripts.films.reading import read_film

GRAYS = np.random.default_rng(1).permutation(256)  # no order, so that every entry counts


def item(descriptor, data, vr: str = "OW") -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    dataset.add_new("LUTDescriptor", "US", list(descriptor))
    dataset.add_new("LUTData", vr, data)
    return dataset


def table(descriptor, data, vr: str = "OW", dataset=None, voi: bool = True) -> LookupTable | None:
    film = dataset if dataset is not None else dicom_film(picture())
    return LookupTable.of(item(descriptor, data, vr), film, voi=voi)


@pytest.mark.parametrize(
    ("descriptor", "data", "vr"),
    [
        ((256, 0, 16), GRAYS.astype("<u2").tobytes(), "OW"),
        ((256, 0, 16), GRAYS.tolist(), "US"),
        ((256, 0, 8), GRAYS.astype("<u2").tobytes(), "OW"),  # 8 bits, each in a word of its own
        ((256, 0, 8), GRAYS.tolist(), "US"),
        ((256, 0, 8), GRAYS.astype(np.uint8).tobytes(), "OW"),  # two to a word, low byte first
        ((256, 0, 8), GRAYS.astype(np.uint8).view("<u2").tolist(), "US"),
        ((256, 0, 8), (GRAYS << 8).astype("<u2").tobytes(), "OW"),  # in the upper byte
    ],
    ids=["16 bits", "16 bits, US", "8 in 16", "8 in 16, US", "packed", "packed, US", "upper byte"],
)
def test_entries_are_the_same_however_they_are_written(descriptor, data, vr):
    found = table(descriptor, data, vr)
    np.testing.assert_array_equal(found.entries, GRAYS)
    assert found.entries.dtype == np.float32 and found.range == (0, 255)
    values = picture().astype(np.float32)
    np.testing.assert_array_equal(found.apply(values), GRAYS[picture()])


def test_values_beyond_the_table_get_its_ends():
    found = table((4, 10, 16), [5, 6, 7, 9], "US")
    np.testing.assert_array_equal(found.apply(np.array([-3.0, 9, 10, 12, 13, 14, 5000])), [5, 5, 5, 7, 9, 9, 9])


def test_count_of_zero_means_65536():
    entries = np.arange(1 << 16)[::-1].astype("<u2")
    found = table((0, 0, 16), entries.tobytes())
    assert len(found.entries) == 1 << 16 and found.apply(np.array([3.0])) == 65532


def test_first_value_is_signed_where_pixels_are_or_the_rescale_leads_below_zero():
    film = dicom_film(picture(100, np.int16))
    assert table((2, 65526, 16), [1, 2], "US", film).first == -10
    film = dicom_film(picture(100, np.uint16))
    assert table((2, 65526, 16), [1, 2], "US", film).first == 65526
    film.RescaleSlope, film.RescaleIntercept = 1, -1024
    assert table((2, 65526, 16), [1, 2], "US", film).first == -10
    assert table((2, 65526, 16), [1, 2], "US", film, voi=False).first == 65526  # comes before the rescale


@pytest.mark.parametrize(
    "broken",
    [
        pydicom.Dataset(),
        item((256, 0, 16), b"\0" * 100),
        item((256, 0), GRAYS.astype("<u2").tobytes()),
        item((256, 0, 16), [1, 2, 3], "US"),
    ],
    ids=["empty", "too few bytes", "two numbers", "too few numbers"],
)
def test_table_that_cannot_be_read_is_none(broken):
    assert LookupTable.of(broken, dicom_film(picture()), voi=True) is None


def test_modality_table_is_what_pydicom_applies(tmp_path):
    array = picture(255, np.uint8, (32, 32))
    film = dicom_film(array, ModalityLUTSequence=[item((256, 0, 16), (GRAYS * 16).astype("<u2").tobytes())])
    film.ModalityLUTSequence[0].ModalityLUTType = "US"
    film.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    expected = apply_modality_lut(array, pydicom.dcmread(tmp_path / "a.dcm"))
    read = read_film(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read.values, expected)
    assert read.values_source == "modality LUT"


def test_voi_table_is_what_pydicom_applies(tmp_path):
    array = picture(255, np.uint8, (32, 32))
    path = write_dicom(
        tmp_path / "a.dcm", array, VOILUTSequence=[item((200, 20, 16), (GRAYS[:200] * 100).astype("<u2").tobytes())]
    )
    expected = apply_voi(array, pydicom.dcmread(path))
    read = read_film(path)
    np.testing.assert_array_equal(read.values, expected)
    assert read.values_source == "VOI LUT 1"


def test_voi_table_that_can_be_read_comes_before_one_that_cannot_and_before_windows(tmp_path):
    array = picture(255, np.uint8, (32, 32))
    good = item((256, 0, 8), GRAYS.astype("<u2").tobytes())
    tables = [item((256, 0, 16), b"\0" * 10), good]
    path = write_dicom(tmp_path / "a.dcm", array, VOILUTSequence=tables, WindowCenter=128, WindowWidth=256)
    read = read_film(path)
    assert read.values_source == "VOI LUT 2"
    np.testing.assert_array_equal(read.values, GRAYS[array])


def test_table_of_one_gray_gives_way(tmp_path):
    array = picture(255, np.uint8, (32, 32))
    flat = item((256, 0, 16), np.full(256, 77, "<u2").tobytes())
    read = read_film(write_dicom(tmp_path / "a.dcm", array, VOILUTSequence=[flat]))
    assert read.values_source == "as stored, since VOI LUT 1 cannot be meant"
    np.testing.assert_array_equal(read.values, array)


def test_big_endian_words_are_read_as_such(tmp_path):
    film = dicom_film(picture(255, np.uint8, (32, 32)))
    film.VOILUTSequence = [item((256, 0, 16), (GRAYS * 100).astype(">u2").tobytes())]
    found = LookupTable.read_entries(film.VOILUTSequence[0].LUTData, 256, 16, little=False)
    np.testing.assert_array_equal(found, GRAYS * 100)
