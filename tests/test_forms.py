"""Films in the forms of scripts/robustness, read by pydicom, Pillow and nibabel alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image, ImageOps
from pydicom.pixels import apply_color_lut
from scipy.stats import spearmanr

from scripts.errors import BundleError
from scripts.phantoms import generate_phantom
from scripts.robustness import FORMS
from scripts.robustness.forms import Variant
from scripts.robustness.geometry import Film

NAMES = tuple(FORMS)
# What a form may hold that is no rising or falling function of the picture
SCRAMBLED = {
    "palette_color",
    "tiff_palette",
    "png_palette",
    "bits_stored_too_small",
    "signed_12_not_extended",
    "overlay_in_pixels",
    "high_bit_15",
}


@cache
def film() -> Film:
    """Not square, so that rows and columns cannot be mistaken."""
    phantom = generate_phantom(5_100_000, 192)
    return Film.plain(phantom.image[:, 8:-4], np.isin(phantom.labels, (1, 2))[:, 8:-4])


def written(name: str, folder: Path, film_name: str = "film", seed: int = 0) -> Variant:
    return FORMS[name].write(film(), seed, film_name, folder / name)


def stored_pixels(path: Path) -> np.ndarray:
    """Values as they are stored, in the file's own order: rows x columns, or the first two axes of NIfTI."""
    if path.suffix == ".dcm":
        pixels = pydicom.dcmread(path).pixel_array
        return pixels if pixels.ndim == 2 else pixels[..., 0]
    if path.name.endswith(".nii.gz"):
        array = np.asanyarray(nibabel.load(path).dataobj)
        return array.reshape(array.shape[:2])
    if path.suffix == ".tif":  # Pillow turns what has an Orientation
        pixels = tifffile.imread(path)
    else:
        with Image.open(path) as image:
            pixels = np.asarray(image)
    return pixels if pixels.ndim == 2 else pixels[..., 0]


def places(variant: Variant) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the plain film for each pixel of the file, and which of them lie in it."""
    shape = variant.film.image.shape
    grid = np.concatenate([np.indices(shape), np.ones((1, *shape))]).reshape(3, -1)
    found = np.rint(variant.film.to_plain @ grid)[:2].astype(int).reshape(2, *shape)
    height, width = film().image.shape
    return found, (found[0] >= 0) & (found[0] < height) & (found[1] >= 0) & (found[1] < width)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("name", NAMES)
def test_mask_and_picture_lie_where_the_form_says(name, tmp_path):
    for film_name in ("a", "b", "c"):
        variant = written(name, tmp_path, film_name)
        (rows, columns), inside = places(variant)
        mask, pixels = variant.film.mask, stored_pixels(variant.path)
        assert pixels.shape == mask.shape
        assert inside[mask].all()
        there = film().mask[rows.clip(0, film().mask.shape[0] - 1), columns.clip(0, film().mask.shape[1] - 1)] & inside
        exact = not np.any(variant.film.to_plain % 1)
        assert np.array_equal(mask, there) if exact else overlap(mask, there) > 0.98
        back = np.zeros_like(film().mask)
        back[rows[mask], columns[mask]] = True
        assert not back[~film().mask].any() if exact else back[~film().mask].sum() < 0.03 * film().mask.sum()
        if name in SCRAMBLED:
            continue
        plain = film().image[rows.clip(0, film().image.shape[0] - 1), columns.clip(0, film().image.shape[1] - 1)]
        assert abs(spearmanr(pixels[mask], plain[mask]).statistic) > 0.9, "the picture lies elsewhere"


@pytest.mark.parametrize("name", [name for name in NAMES if not FORMS[name].described])
def test_files_that_only_looking_can_tell_say_nothing_true(name, tmp_path):
    variant = written(name, tmp_path)
    if variant.path.suffix == ".dcm":
        header = pydicom.dcmread(variant.path)
        assert header.PhotometricInterpretation == "MONOCHROME2" and "PixelSpacing" not in header
        assert "PatientOrientation" not in header or name == "orientation_wrong"
    elif variant.path.suffix in (".png", ".jpg"):
        with Image.open(variant.path) as image:
            assert not dict(image.getexif())


@pytest.mark.parametrize("container", ["jpeg", "png", "tiff"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_brings_the_film_upright_as_pillow_reads_it(container, orientation, tmp_path):
    variant = written(f"exif_{container}_{orientation}", tmp_path)
    # By name, Pillow 13.0 maps a TIFF into memory with rows and columns swapped
    with variant.path.open("rb") as file, Image.open(file) as image:
        assert image.getexif()[0x0112] == orientation
        image.load()  # turns a TIFF, which loses its Orientation
        upright = np.asarray(ImageOps.exif_transpose(image), float)
    assert np.corrcoef(upright.ravel(), film().image.ravel())[0, 1] > (0.99 if container == "jpeg" else 0.9999)


# Rows and columns of the file by hand (PS3.3 C.7.6.1.1.1: where a row goes, where a column goes)
BY_HAND = {
    "LF": lambda plain: plain,
    "RF": np.fliplr,
    "LH": np.flipud,
    "RH": lambda plain: np.rot90(plain, 2),
    "FL": np.transpose,
    "FR": lambda plain: np.fliplr(plain).T,
    "HL": lambda plain: np.flipud(plain).T,
    "HR": lambda plain: np.rot90(plain, 2).T,
}


@pytest.mark.parametrize("letters", BY_HAND)
def test_patient_orientation_is_that_of_the_standard(letters, tmp_path):
    header = pydicom.dcmread(written(f"orientation_{letters}", tmp_path).path)
    assert list(header.PatientOrientation) == list(letters)
    assert np.abs(header.pixel_array / 4095 - BY_HAND[letters](film().image)).max() < 1e-3


@pytest.mark.parametrize("name", ["orientation_two_letters", "orientation_odd_text"])
def test_first_letters_are_the_main_directions(name, tmp_path):
    for film_name in "abcdefgh":
        header = pydicom.dcmread(written(name, tmp_path, film_name).path)
        letters = "".join(value.strip()[0].upper() for value in header.PatientOrientation)
        assert np.abs(header.pixel_array / 4095 - BY_HAND[letters](film().image)).max() < 1e-3


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.startswith("nifti_") and FORMS[name].described] + ["nifti_dcm2niix"]
)
def test_nifti_is_upright_once_nibabel_has_turned_it_to_ras(name, tmp_path):
    path = written(name, tmp_path).path
    image = nibabel.load(path)
    shape = image.shape[:2]
    flat = nibabel.Nifti1Image(np.asanyarray(image.dataobj).reshape(*shape, 1), image.affine)
    turned = nibabel.as_closest_canonical(flat)
    # x grows to the patient's right, which is on the left of the picture; y or z grows upwards
    pixels = np.asanyarray(turned.dataobj).squeeze()[::-1, ::-1].T.astype(float)
    down, across = (turned.header.get_zooms()[np.argmax(turned.shape[1:]) + 1], turned.header.get_zooms()[0])
    if name == "nifti_zooms":
        assert pixels.shape[0] * down / (pixels.shape[1] * across) == pytest.approx(192 / 180, rel=0.02)
    else:
        assert np.corrcoef(pixels.ravel(), film().image.ravel())[0, 1] > 0.999
    if name == "nifti_qform_only":
        assert image.header["sform_code"] == 0 and image.header["qform_code"] > 0


def spacing(path: Path) -> tuple[float, float]:
    """Height and width of a pixel, or a ratio of them."""
    if path.suffix == ".dcm":
        header = pydicom.dcmread(path)
        for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio"):
            if name in header:
                return tuple(map(float, header[name].value))
    with Image.open(path) as image:
        across, down = (image.tag_v2[282], image.tag_v2[283]) if path.suffix == ".tif" else image.info["dpi"]
    return 1 / float(down), 1 / float(across)


@pytest.mark.parametrize("name", [n for n in NAMES if FORMS[n].group == "pixels" and not n.startswith("nifti")])
def test_film_keeps_its_shape_in_millimetres(name, tmp_path):
    for film_name in "abcdef":
        variant = written(name, tmp_path, film_name)
        height, width = spacing(variant.path)
        across_columns = abs(variant.film.to_plain[0, 0]) > abs(variant.film.to_plain[1, 0])
        true = 192 / 180 if across_columns else 180 / 192
        rows, columns = variant.film.image.shape
        assert rows * height / (columns * width) == pytest.approx(true, rel=0.02)
        assert not 0.95 < height / width < 1.05


def looked_up(values: np.ndarray, item: pydicom.Dataset, signed: bool) -> np.ndarray:
    """PS3.3 C.11.1.1.1 and C.11.2.1.1, word by word."""
    count, first, bits = item.LUTDescriptor
    data = item.LUTData
    if isinstance(data, bytes):
        data = np.frombuffer(data, np.uint8 if len(data) == count else "<u2")
    if signed and first > 32767:
        first -= 65536
    assert bits <= 16 and len(data) == (count or 65536)
    return np.asarray(data, float)[np.clip(values.astype(int) - first, 0, len(data) - 1)]


def windowed(x: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1 and C.11.2.1.3, to 0..1."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (x - centre) / width))
    if function == "LINEAR_EXACT":
        return np.clip((x - centre) / width + 0.5, 0, 1)
    return np.clip((x - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def displayed(path: Path) -> np.ndarray:
    """How the standard brings a film to the screen."""
    header = pydicom.dcmread(path)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        return apply_color_lut(header.pixel_array, header)[..., 0].astype(float)
    values = header.pixel_array.astype(float)
    values = values if values.ndim == 2 else values[..., 0]
    if "ModalityLUTSequence" in header:
        values = looked_up(values, header.ModalityLUTSequence[0], False)
    else:
        values = values * float(header.get("RescaleSlope", 1)) + float(header.get("RescaleIntercept", 0))
    if "VOILUTSequence" in header:
        values = looked_up(values, header.VOILUTSequence[0], bool(header.PixelRepresentation))
    elif "WindowWidth" in header:
        window = float(header.WindowCenter), float(header.WindowWidth)
        values = windowed(values, *window, header.get("VOILUTFunction", "LINEAR"))
    inverted = header.get("PresentationLUTShape") == "INVERSE" or header.PhotometricInterpretation == "MONOCHROME1"
    return -values if inverted else values


@pytest.mark.parametrize(
    "name",
    [
        *("window_linear", "window_linear_exact", "window_sigmoid", "window_wide"),
        *("voi_lut_16", "voi_lut_12", "voi_lut_10", "voi_lut_8_in_16", "voi_lut_8_packed", "voi_lut_full"),
        *("voi_lut_descending", "voi_lut_signed", "voi_lut_offset", "voi_lut_says_16", "voi_lut_or_window"),
        *("modality_lut", "rescale_negative_intercept", "rescale_negative_slope", "palette_color", "rgb_capture"),
        *("monochrome1", "monochrome1_inverse", "monochrome1_identity", "monochrome2_inverse"),
        *("signed_12", "signed_16", "bits_stored_16", "transfer_syntax", "presentation_relationship"),
    ],
)
def test_values_show_the_plain_film_as_the_standard_displays_them(name, tmp_path):
    for film_name in "abcd":
        variant = written(name, tmp_path, film_name)
        shown, plain = displayed(variant.path), film().image
        body = film().mask  # outside of it lie the letters of some windows
        assert np.corrcoef(shown[body], plain[body])[0, 1] > 0.999, variant.detail


@pytest.mark.parametrize("relation", ["lin", "log"])
@pytest.mark.parametrize("sign", ["", "_minus"])
def test_for_processing_grows_with_intensity_or_against_it(relation, sign, tmp_path):
    for number in (1, 2):
        header = pydicom.dcmread(written(f"for_processing_{relation}{sign}_{number}", tmp_path).path)
        values = header.pixel_array.astype(float)
        assert header.PixelIntensityRelationshipSign == (-1 if sign else 1)
        assert header.PhotometricInterpretation == f"MONOCHROME{number}"
        intensity = values.max() - values if sign else values
        bone, air = film().image > 0.8, film().image < 0.2
        assert intensity[bone].mean() < intensity[air].mean()
        straight = abs(np.corrcoef(values.ravel(), film().image.ravel())[0, 1])
        assert straight > 0.9999 if relation == "log" else straight < 0.99


def test_upper_bits_hold_the_value_of_high_bit_15(tmp_path):
    for film_name in "abcd":
        header = pydicom.dcmread(written("high_bit_15", tmp_path, film_name).path)
        raw = np.frombuffer(header.PixelData, "<u2").reshape(header.Rows, header.Columns)
        assert header.HighBit == 15 and header.BitsStored < 16
        shown = (raw >> (16 - header.BitsStored)) / (2**header.BitsStored - 1)
        assert np.abs(shown - film().image).max() < 1e-3


def test_overlay_lies_in_bits_that_no_pixel_uses(tmp_path):
    header = pydicom.dcmread(written("overlay_in_pixels", tmp_path).path)
    raw = np.frombuffer(header.PixelData, "<u2").reshape(header.Rows, header.Columns)
    assert np.abs((raw & 0x0FFF) / 4095 - film().image).max() < 1e-3
    position = next(
        element.value for element in header if element.tag.element == 0x0102 and element.tag.group > 0x6000 - 1
    )
    assert 0 < ((raw >> position) & 1).mean() < 0.5


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("window_")])
def test_windows_are_what_they_are_called(name, tmp_path):
    header = pydicom.dcmread(written(name, tmp_path).path)
    width = header.get("WindowWidth")
    low, high = header.pixel_array.min(), header.pixel_array.max()
    if name in ("window_width_0", "window_width_1"):
        assert float(width) == int(name[-1])
    elif name == "window_negative":
        assert float(width) < 0
    elif name == "window_far":
        ends = float(header.WindowCenter) - float(width) / 2, float(header.WindowCenter) + float(width) / 2
        assert ends[0] > high or ends[1] < low
    elif name == "window_narrow":
        assert 1 < float(width) < 0.2 * (float(high) - float(low))


def test_every_film_gets_another_variant_and_the_same_one_again(tmp_path):
    first, again, other = (written("pixel_spacing", tmp_path / str(i), name) for i, name in enumerate("aab"))
    assert first.detail == again.detail != other.detail
    assert np.array_equal(first.film.image, again.film.image)
    assert written("pixel_spacing", tmp_path, "a", seed=1).detail != first.detail


def test_names_and_groups_choose_forms_and_plain_comes_first():
    assert [form.name for form in FORMS.choose(["mirrored"])] == ["plain", "mirrored"]
    assert {form.group for form in FORMS.choose(["pose"])} == {"plain", "pose"}
    assert len(FORMS.choose(None)) == len(FORMS)
    with pytest.raises(BundleError, match="none is called 'sideways'"):
        FORMS.choose(["sideways"])


def test_shutters_leave_the_lungs_and_say_where_they_are(tmp_path):
    for film_name in "abcdef":
        header = pydicom.dcmread(written("shutter_tags", tmp_path, film_name).path)
        rows, columns = np.nonzero(film().mask)
        if header.ShutterShape == "RECTANGULAR":
            assert (
                header.ShutterUpperHorizontalEdge
                <= rows.min() + 1
                <= rows.max() + 1
                <= header.ShutterLowerHorizontalEdge
            )
            assert (
                header.ShutterLeftVerticalEdge
                <= columns.min() + 1
                <= columns.max() + 1
                <= header.ShutterRightVerticalEdge
            )
        elif header.ShutterShape == "CIRCULAR":
            middle = np.array(header.CenterOfCircularShutter) - 1
            reach = np.hypot(rows - middle[0], columns - middle[1])
            assert np.quantile(reach, 0.98) <= header.RadiusOfCircularShutter
