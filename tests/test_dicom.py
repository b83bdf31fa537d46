"""DICOM films are read as they are meant to be displayed."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from dicom_files import HEIGHT, WIDTH, dicom_film, picture, write_dicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    EncapsulatedPDFStorage,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from scripts.data import LoadRadiographd, list_images
from scripts.data.loading import pixel_spacing
from scripts.errors import BundleError
from scripts.films.reading import read_size


def load(path) -> np.ndarray:
    """H x W."""
    return LoadRadiographd("image")({"image": str(path)})["image"][0].numpy().T


def meta(path) -> dict:
    return LoadRadiographd("image")({"image": str(path)})["image"].meta


def test_rescale_is_applied(tmp_path):
    array = picture(4000, np.uint16)
    path = write_dicom(tmp_path / "a.dcm", array, RescaleSlope=2.5, RescaleIntercept=-1000.0, RescaleType="US")
    np.testing.assert_allclose(load(path), array * 2.5 - 1000)


def test_signed_values_keep_their_sign(tmp_path):
    array = (picture(4000, np.int16) - 2000).astype(np.int16)
    np.testing.assert_array_equal(load(write_dicom(tmp_path / "a.dcm", array)), array)


def test_window_is_applied_by_hand(tmp_path):
    """PS3.3 C.11.2.1.2: ((x - (c - 0.5)) / (w - 1) + 0.5) of the output range, clipped; the first of two windows."""
    array = picture(4095, np.uint16)
    path = write_dicom(
        tmp_path / "a.dcm", array, BitsStored=12, WindowCenter=[2000, 40], WindowWidth=[3601, 400], RescaleSlope=1
    )
    expected = np.clip((array - 1999.5) / 3600 + 0.5, 0, 1) * 4095
    np.testing.assert_allclose(load(path), expected, atol=0.51)
    assert meta(path)["values_source"] == "window 1"


@pytest.mark.parametrize(
    ("windows", "source"),
    [
        ({"WindowCenter": 40, "WindowWidth": 400}, "as stored, since window 1 cannot be meant"),  # of a CT
        ({"WindowCenter": 2000, "WindowWidth": 0}, "as stored, since window 1 cannot be meant"),
        ({"WindowCenter": 2000, "WindowWidth": 1}, "as stored, since window 1 cannot be meant"),
        ({"WindowCenter": 20000, "WindowWidth": 4000}, "as stored, since window 1 cannot be meant"),
        ({"WindowCenter": [40, 2048], "WindowWidth": [400, 4096]}, "window 2"),
    ],
)
def test_a_window_that_clips_most_of_the_picture_gives_way_to_the_next_or_to_the_range_of_the_film(
    tmp_path, windows, source
):
    array = picture(4095, np.uint16)
    path = write_dicom(tmp_path / "a.dcm", array, BitsStored=12, **windows)
    assert meta(path)["values_source"] == source
    np.testing.assert_allclose(load(path), array, atol=1)


def test_window_follows_the_rescale_and_precedes_inversion(tmp_path):
    array = picture(4095, np.uint16)
    extra = {"BitsStored": 12, "RescaleSlope": 2, "RescaleIntercept": 100, "WindowCenter": 4000, "WindowWidth": 2000}
    plain = load(write_dicom(tmp_path / "a.dcm", array, **extra))
    inverted = load(write_dicom(tmp_path / "b.dcm", array, "MONOCHROME1", **extra))
    np.testing.assert_allclose(inverted, plain.max() + plain.min() - plain, atol=1e-3)
    assert np.corrcoef(plain.ravel(), array.ravel())[0, 1] > 0.9


def test_voi_lut_is_applied(tmp_path):
    array = picture(255, np.uint8)
    table = np.arange(255, -1, -1).astype(np.uint16) * 16
    item = pydicom.Dataset()
    item.LUTDescriptor = [256, 0, 16]
    item.add_new("LUTData", "OW", table.tobytes())
    path = write_dicom(tmp_path / "a.dcm", array, VOILUTSequence=[item])
    np.testing.assert_array_equal(load(path), table[array])


def test_padding_becomes_the_darkest_value(tmp_path):
    array = picture(3000, np.uint16) + 500
    array[:, :3] = 4000
    film = {"PixelPaddingValue": 4000, "BitsStored": 12}
    for photometric in ("MONOCHROME2", "MONOCHROME1"):
        shown = load(write_dicom(tmp_path / "a.dcm", array, photometric, **film))
        inner = array[:, 3:].astype(np.float32)
        expected = inner if photometric == "MONOCHROME2" else inner.max() + inner.min() - inner
        np.testing.assert_array_equal(shown[:, 3:], expected)
        assert (shown[:, :3] == expected.min()).all()


def test_range_of_padding(tmp_path):
    array = picture(3000, np.uint16)
    path = write_dicom(tmp_path / "a.dcm", array, PixelPaddingValue=0, PixelPaddingRangeLimit=999)
    np.testing.assert_array_equal(load(path), np.maximum(array, array[array > 999].min()))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_transfer_syntaxes_are_exact(tmp_path, syntax, bits):
    array = picture(2**bits - 1, np.uint8 if bits == 8 else np.uint16, (64, 48))
    film = dicom_film(array, BitsStored=bits)
    if syntax is JPEG2000Lossless:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, format="JPEG2000", irreversible=False, no_jp2=True)
        film.PixelData = encapsulate([buffer.getvalue()])
        film["PixelData"].VR = "OB"
        film.file_meta.TransferSyntaxUID = syntax
    else:
        film.compress(syntax)
    film.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(load(tmp_path / "a.dcm"), array)
    assert read_size(tmp_path / "a.dcm") == (48, 64)


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_jpeg_baseline_is_what_pillow_decodes(tmp_path, photometric):
    array = picture(255, np.uint8, (32, 40))
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="JPEG", quality=90)
    film = dicom_film(array, photometric)
    film.PixelData = encapsulate([buffer.getvalue()])
    film["PixelData"].VR = "OB"
    film.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    film.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    decoded = np.asarray(Image.open(buffer)).astype(np.float32)
    expected = decoded if photometric == "MONOCHROME2" else decoded.max() + decoded.min() - decoded
    np.testing.assert_allclose(load(tmp_path / "a.dcm"), expected, atol=1)


def test_colour_capture_is_weighted_as_luma(tmp_path):
    colours = picture(255, np.uint8, (HEIGHT, WIDTH, 3))
    path = write_dicom(tmp_path / "a.dcm", colours, "RGB")
    np.testing.assert_allclose(load(path), colours @ [0.299, 0.587, 0.114], atol=1e-3)


def test_full_range_ybr_is_gray_by_its_first_component(tmp_path):
    colours = picture(255, np.uint8, (HEIGHT, WIDTH, 3))
    colours[..., 1:] = 128
    path = write_dicom(tmp_path / "a.dcm", colours, "YBR_FULL")
    np.testing.assert_allclose(load(path), colours[..., 0], atol=1)


@pytest.mark.parametrize("implicit", [True, False])
def test_file_without_preamble_and_meta(tmp_path, implicit):
    film = dicom_film(picture())
    del film.file_meta
    film.save_as(tmp_path / "a.dcm", implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    assert (tmp_path / "a.dcm").read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(load(tmp_path / "a.dcm"), picture())
    assert read_size(tmp_path / "a.dcm") == (WIDTH, HEIGHT)


@pytest.mark.parametrize("name", ["IM00001", "1.2.840.113619.2.5"])
def test_dicom_needs_no_suffix(tmp_path, name):
    write_dicom(tmp_path / name, picture())
    (tmp_path / "notes").write_text("no image")
    assert [item["id"] for item in list_images(tmp_path)] == [name]
    np.testing.assert_array_equal(load(tmp_path / name), picture())


@pytest.mark.parametrize(
    ("attributes", "spacing", "source"),
    [
        ({"PixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "PixelSpacing"),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "ImagerPixelSpacing"),
        ({"PixelSpacing": [0.14, 0.14], "ImagerPixelSpacing": [0.2, 0.2]}, (0.14, 0.14), "PixelSpacing"),
        (
            {"ImagerPixelSpacing": [0.2, 0.1], "EstimatedRadiographicMagnificationFactor": "1.25"},
            (0.16, 0.08),
            "ImagerPixelSpacing, magnification 1.25",
        ),
        ({"NominalScannedPixelSpacing": [0.175, 0.175]}, (0.175, 0.175), "NominalScannedPixelSpacing"),
        ({"PixelSpacing": [0, 0]}, None, None),
        ({}, None, None),
    ],
)
def test_spacing_and_where_it_is_from(tmp_path, attributes, spacing, source):
    found = meta(write_dicom(tmp_path / "a.dcm", picture(), **attributes))
    assert pixel_spacing(found) == (None if spacing is None else pytest.approx(spacing))
    assert found.get("spacing_source") == source
    row, column = spacing or (1, 1)
    np.testing.assert_allclose(found["affine"], np.diag([-column, -row, 1, 1]))


# Refused by name


def test_multi_frame_is_refused(tmp_path):
    path = write_dicom(tmp_path / "cine.dcm", np.stack([picture()] * 3))
    with pytest.raises(BundleError, match="cine.dcm: holds 3 frames"):
        load(path)


def test_single_frame_that_says_so_is_read(tmp_path):
    np.testing.assert_array_equal(load(write_dicom(tmp_path / "a.dcm", picture()[None])), picture())


@pytest.mark.parametrize("modality", ["CT", "US", "MG", "MR", "SR", "XA"])
def test_other_modality_is_refused(tmp_path, modality):
    path = write_dicom(tmp_path / "other.dcm", picture(), Modality=modality)
    with pytest.raises(BundleError, match=f"other.dcm: modality {modality} is no radiograph"):
        load(path)


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", "OT", ""])
def test_radiographs_and_unnamed_modality_are_read(tmp_path, modality):
    np.testing.assert_array_equal(load(write_dicom(tmp_path / "a.dcm", picture(), Modality=modality)), picture())


def test_object_without_pixels_is_refused(tmp_path):
    film = dicom_film(picture())
    del film.PixelData
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    film.SOPInstanceUID = generate_uid()
    film.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    with pytest.raises(BundleError, match="report.dcm: this DICOM object .Encapsulated PDF Storage. holds no image"):
        load(tmp_path / "report.dcm")


def test_another_file_under_the_suffix_is_refused(tmp_path):
    (tmp_path / "letter.dcm").write_bytes(b"%PDF-1.4\n" + bytes(range(256)) * 20)
    with pytest.raises(BundleError, match="letter.dcm: (is no DICOM file|cannot be read as an image)"):
        load(tmp_path / "letter.dcm")


def with_palette(path, colours: np.ndarray):
    """A film whose values are numbers of 256 x 3 `colours` of 16 bits."""
    film = dicom_film(picture(), "PALETTE COLOR")
    for name, channel in zip(("Red", "Green", "Blue"), colours.T):
        setattr(film, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(film, f"{name}PaletteColorLookupTableData", channel.astype("<u2").tobytes())
    film.save_as(path, enforce_file_format=True)
    return path


def test_palette_of_colours_is_refused_and_one_of_grays_is_read(tmp_path):
    gray = np.linspace(65535, 0, 256).round()
    np.testing.assert_array_equal(
        load(with_palette(tmp_path / "a.dcm", np.stack([gray] * 3, axis=1))), gray.astype(np.float32)[picture()]
    )
    with pytest.raises(BundleError, match="doppler.dcm: pseudo-coloured"):
        load(with_palette(tmp_path / "doppler.dcm", np.stack([gray, gray[::-1], gray], axis=1)))
    with pytest.raises(BundleError, match="none.dcm: cannot be read as an image .*Palette"):
        load(write_dicom(tmp_path / "none.dcm", picture(), "PALETTE COLOR"))


def test_truncated_pixels_are_refused(tmp_path):
    content = write_dicom(tmp_path / "a.dcm", picture(255, np.uint8, (64, 64))).read_bytes()
    (tmp_path / "half.dcm").write_bytes(content[:-2000])
    with pytest.raises(BundleError, match="half.dcm: cannot be read as an image"):
        load(tmp_path / "half.dcm")
