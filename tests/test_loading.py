"""Every supported format loads as the array that was written, or is refused by name."""

import struct
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from dicom_files import HEIGHT, WIDTH, picture, write_dicom
from PIL import Image

from scripts.data import LoadRadiographd
from scripts.errors import BundleError
from scripts.films.reading import read_size
from scripts.films.suffixes import image_stem, image_suffix

SHARED = Path(__file__).resolve().parents[2] / "shared" / "cxr" / "dicom"


def load(path):
    return LoadRadiographd("image")({"image": str(path)})["image"]


def assert_holds(path, array):
    """`path` loads as 1 x W x H float32 equal to the H x W `array`."""
    image = load(path)
    assert image.dtype == torch.float32
    assert image.shape == (1, array.shape[1], array.shape[0])
    np.testing.assert_array_equal(image[0].numpy().T, array.astype(np.float32))
    assert image.meta["filename_or_obj"] == str(path)
    assert read_size(path) == (array.shape[1], array.shape[0])


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".PNG"])
def test_8_bit_raster_is_exact(tmp_path, suffix):
    Image.fromarray(picture()).save(tmp_path / f"a{suffix}")
    assert_holds(tmp_path / f"a{suffix}", picture())


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bit_raster_keeps_its_depth(tmp_path, suffix):
    array = picture(65535, np.uint16)
    assert array.max() > 60000
    Image.fromarray(array).save(tmp_path / f"a{suffix}")
    assert_holds(tmp_path / f"a{suffix}", array)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_gray_film_saved_in_colour_is_the_gray_film(tmp_path, mode):
    image = Image.fromarray(picture()).convert(mode)
    if mode != "RGB":  # alpha must not leak into the intensities
        image.putalpha(Image.fromarray(picture()[::-1].copy()))
    image.save(tmp_path / "a.png")
    loaded = load(tmp_path / "a.png")
    assert loaded.shape == (1, WIDTH, HEIGHT)
    np.testing.assert_allclose(loaded[0].numpy().T, picture(), atol=1e-3)


def test_colour_is_weighted_as_luma(tmp_path):
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = 200, 100, 50
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_allclose(load(tmp_path / "a.png").numpy(), 0.299 * 200 + 0.587 * 100 + 0.114 * 50, atol=0.5)


def test_jpeg_equals_what_pil_decodes(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.jpg", quality=90)
    with Image.open(tmp_path / "a.jpg") as image:
        decoded = np.asarray(image)
    assert_holds(tmp_path / "a.jpg", decoded)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("tail", [(), (1,), (1, 1)])
def test_nifti_of_one_slice_is_exact(tmp_path, suffix, tail):
    array = picture().astype(np.float32) - 40.5
    volume = nibabel.Nifti1Image(array.T.reshape(WIDTH, HEIGHT, *tail), np.diag([0.3, 0.4, 1, 1]))
    nibabel.save(volume, tmp_path / f"a{suffix}")
    assert_holds(tmp_path / f"a{suffix}", array)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".dcm", ".dicom"])
def test_monochrome2_dicom_is_exact(tmp_path, dtype, suffix):
    array = picture(np.iinfo(dtype).max, dtype)
    assert_holds(write_dicom(tmp_path / f"a{suffix}", array), array)


def test_monochrome1_dicom_is_inverted_within_its_own_range(tmp_path):
    array = picture(4000, np.uint16)
    path = write_dicom(tmp_path / "a.dcm", array, "MONOCHROME1")
    assert_holds(path, int(array.max()) + int(array.min()) - array.astype(int))


def test_both_photometric_interpretations_of_one_film_load_alike(tmp_path):
    array = picture(4000, np.uint16)
    inverse = (int(array.max()) + int(array.min()) - array.astype(int)).astype(np.uint16)
    first = load(write_dicom(tmp_path / "a.dcm", array))
    second = load(write_dicom(tmp_path / "b.dcm", inverse, "MONOCHROME1"))
    torch.testing.assert_close(first.as_tensor(), second.as_tensor(), rtol=0, atol=0)


def test_dicom_pixel_spacing_does_not_turn_the_image(tmp_path):
    path = write_dicom(
        tmp_path / "a.dcm", picture(), PixelSpacing=[0.2, 0.1], ImageOrientationPatient=[1, 0, 0, 0, 1, 0]
    )
    assert_holds(path, picture())


@pytest.mark.parametrize("name", ["rsna_txv_1.2.276.dcm", "nhsx_nih.dcm"])
def test_clinical_dicom_loads_whole(name):
    if not (SHARED / name).is_file():
        pytest.skip("clinical DICOM files are not part of the repository")
    image = load(SHARED / name)
    assert image.shape == (1, 1024, 1024) and read_size(SHARED / name) == (1024, 1024)
    pixels = pydicom.dcmread(SHARED / name).pixel_array.astype(np.float32)
    np.testing.assert_array_equal(image[0].numpy().T, pixels)


def test_absent_key_is_skipped_only_when_allowed(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    data = {"image": str(tmp_path / "a.png"), "id": "a"}
    loaded = LoadRadiographd(["image", "label"], allow_missing_keys=True)(data)
    assert set(loaded) == {"image", "id"} and loaded["id"] == "a"
    with pytest.raises(KeyError, match="label"):
        LoadRadiographd(["image", "label"])(data)


# Refused by name


@pytest.mark.parametrize("shape", [(WIDTH, HEIGHT, 5), (WIDTH, HEIGHT, 1, 6)])
def test_nifti_volume_is_refused_by_name(tmp_path, shape):
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), tmp_path / "volume.nii.gz")
    with pytest.raises(BundleError, match="volume.nii.gz: expected one 2D image"):
        load(tmp_path / "volume.nii.gz")


@pytest.mark.parametrize("depth", [3, 4])
def test_thin_nifti_volume_is_not_taken_for_a_colour_image(tmp_path, depth):
    array = np.zeros((WIDTH, HEIGHT, depth), np.float32)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "volume.nii.gz")
    with pytest.raises(BundleError, match="volume.nii.gz: expected one 2D image"):
        load(tmp_path / "volume.nii.gz")


@pytest.mark.parametrize("frames", [2, 3, 5])
def test_multi_frame_dicom_is_refused_by_name(tmp_path, frames):
    path = write_dicom(tmp_path / "cine.dcm", np.stack([picture()] * frames))
    with pytest.raises(BundleError, match="cine.dcm: "):
        load(path)


def test_truncated_png_is_refused_by_name(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match="half.png: cannot be read as an image") as caught:
        load(tmp_path / "half.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.nii.gz", "a.dcm"])
def test_zero_byte_file_is_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    for read in (load, read_size):
        with pytest.raises(BundleError, match=f"{name}: (cannot be read as an image|is no DICOM file)") as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nifti_with_a_value_that_is_no_number_is_refused_by_name(tmp_path, value):
    array = np.zeros((WIDTH, HEIGHT), np.float32)
    array[3, 2] = value
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "bad.nii.gz")
    with pytest.raises(BundleError, match="bad.nii.gz: holds NaN or infinite"):
        load(tmp_path / "bad.nii.gz")


def test_missing_file_is_refused_by_name(tmp_path):
    for read in (load, read_size):
        with pytest.raises(BundleError, match="gone.png: no such file"):
            read(tmp_path / "gone.png")


def test_size_is_read_from_the_header_alone(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4000, 3000, 8, 0, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b""))
    assert read_size(tmp_path / "a.png") == (4000, 3000)


def test_nii_gz_counts_as_one_suffix():
    assert image_suffix("x/Film.1.NII.GZ") == ".nii.gz" and image_stem("x/Film.1.NII.GZ") == "Film.1"
    assert image_suffix("x/report.pdf") == "" and image_stem("x/1.2.276.dcm") == "1.2.276"
