"""Masks as files, quality flags, areas, and the table of a folder run."""

from __future__ import annotations

import csv
import shutil
import subprocess
from types import SimpleNamespace

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import torch
from dicom_files import dicom_film, picture, write_dicom
from monai.data import Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from PIL import Image

from scripts.data import CanonicalFilmd, LoadRadiographd, TolerantLoader
from scripts.errors import BundleError
from scripts.films.pose import Pose
from scripts.output import ExpectedDiced, QualityFlagsd, Results, SaveMaskd
from scripts.output.areas import lung_areas
from scripts.output.quality import border_share, expected_dice, second_part

SHAPE = (40, 64)  # rows, columns


def two_lungs(shape=SHAPE) -> np.ndarray:
    """Rows x columns: 12 x 10 pixels on the left of the picture, 12 x 8 on its right."""
    mask = np.zeros(shape, np.uint8)
    mask[10:22, 5:15] = 1
    mask[10:22, 40:48] = 1
    return mask


def save(mask, source, out, **settings) -> dict:
    """`mask` is rows x columns."""
    meta = LoadRadiographd("image")({"image": str(source)})["image"].meta
    pred = MetaTensor(torch.from_numpy(mask.T.copy())[None], meta=meta)
    return SaveMaskd("pred", out, source.parent, **settings)({"pred": pred})


# Formats


def test_png_holds_the_mask_upright(tmp_path):
    Image.fromarray(picture(255, np.uint8, SHAPE)).save(tmp_path / "a.png")
    assert save(two_lungs(), tmp_path / "a.png", tmp_path / "out")["files"] == ["a_mask.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "a_mask.png")), two_lungs() * 255)


def test_png_of_several_classes_holds_their_numbers(tmp_path):
    Image.fromarray(picture(255, np.uint8, SHAPE)).save(tmp_path / "a.png")
    mask = two_lungs()
    mask[:, 30:] *= 2
    save(mask, tmp_path / "a.png", tmp_path / "out", class_names=("right lung", "left lung"))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "a_mask.png")), mask)


def test_nifti_of_a_dicom_film_has_its_spacing(tmp_path):
    film = write_dicom(tmp_path / "a.dcm", picture(255, np.uint8, SHAPE), PixelSpacing=[0.2, 0.1])
    assert save(two_lungs(), film, tmp_path / "out", formats=["nifti"])["files"] == ["a_mask.nii.gz"]
    image = nibabel.load(tmp_path / "out" / "a_mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj)[..., 0].T, two_lungs())
    np.testing.assert_allclose(image.header.get_zooms()[:2], (0.1, 0.2))
    assert image.header.get_xyzt_units()[0] == "mm"
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")


def test_overlay_shows_the_film_and_the_outline(tmp_path):
    film = write_dicom(tmp_path / "a.dcm", picture(4000, np.uint16, SHAPE), "MONOCHROME1")
    save(two_lungs(), film, tmp_path / "out", formats=["overlay"])
    shown = np.asarray(Image.open(tmp_path / "out" / "a_overlay.png")).astype(int)
    assert shown.shape == (*SHAPE, 3)
    red = (shown[..., 0] - shown[..., 1]) > 100
    assert red[10, 5] and red[21, 47] and not red[15, 10] and not red[30, 30]


def test_unknown_format_is_refused(tmp_path):
    with pytest.raises(BundleError, match="formats .'rtstruct'.: expected some of png, nifti, seg, overlay"):
        SaveMaskd("pred", tmp_path, formats=["rtstruct"])


# DICOM segmentation


@pytest.fixture
def segmented(tmp_path):
    """A film, and its segmentation read back."""
    film = write_dicom(
        tmp_path / "a.dcm",
        picture(4000, np.uint16, SHAPE),
        StudyDate="20240102",
        PatientSex="F",
        PatientOrientation=["L", "F"],
        PixelSpacing=[0.2, 0.1],
    )
    assert save(two_lungs(), film, tmp_path / "out", formats=["seg"])["files"] == ["a_seg.dcm"]
    return pydicom.dcmread(film), highdicom.seg.segread(tmp_path / "out" / "a_seg.dcm")


def test_seg_has_the_geometry_of_the_film(segmented):
    film, seg = segmented
    assert (seg.Rows, seg.Columns) == SHAPE and int(seg.NumberOfFrames) == 1
    np.testing.assert_array_equal(seg.pixel_array, two_lungs())
    pixels = seg.get_pixels_by_source_instance([film.SOPInstanceUID], combine_segments=True)
    np.testing.assert_array_equal(pixels[0], two_lungs())


def test_seg_carries_patient_study_and_reference(segmented):
    film, seg = segmented
    for name in ("PatientName", "PatientID", "PatientSex", "StudyInstanceUID", "StudyDate", "PatientOrientation"):
        assert seg.get(name) == film.get(name), name
    assert seg.Modality == "SEG" and seg.SeriesInstanceUID != film.SeriesInstanceUID
    series = seg.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == film.SeriesInstanceUID
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == film.SOPInstanceUID


def test_seg_codes_what_was_segmented(segmented):
    _, seg = segmented
    description = seg.get_segment_description(1)
    kind = description.segmented_property_type
    assert (kind.value, kind.scheme_designator) == ("39607008", "SCT")
    assert description.algorithm_type.value == "AUTOMATIC" and description.segment_label == "lungs"


def test_seg_of_two_classes_has_two_coded_segments(tmp_path):
    film = write_dicom(tmp_path / "a.dcm", picture(255, np.uint8, SHAPE))
    mask = two_lungs()
    mask[:, 30:] *= 2
    save(mask, film, tmp_path / "out", formats=["seg"], class_names=("right lung", "left lung"))
    seg = highdicom.seg.segread(tmp_path / "out" / "a_seg.dcm")
    codes = [seg.get_segment_description(number).segmented_property_type.value for number in (1, 2)]
    assert codes == ["3341006", "44029006"]
    pixels = seg.get_pixels_by_source_instance([pydicom.dcmread(film).SOPInstanceUID], combine_segments=True)
    np.testing.assert_array_equal(pixels[0], mask)


def test_seg_of_an_empty_mask_and_of_a_film_without_study_data(tmp_path):
    film = dicom_film(picture(255, np.uint8, SHAPE))
    del film.PatientName, film.PatientID
    film.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert "error" not in save(np.zeros(SHAPE, np.uint8), tmp_path / "a.dcm", tmp_path / "out", formats=["seg"])
    seg = highdicom.seg.segread(tmp_path / "out" / "a_seg.dcm")
    assert not seg.pixel_array.any() and seg.number_of_segments == 1


def test_seg_passes_a_public_validator(segmented, tmp_path):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian: dicom3tools) is not installed")
    found = subprocess.run(["dciodvfy", str(tmp_path / "out" / "a_seg.dcm")], capture_output=True, text=True)
    assert "Segmentation" in found.stdout + found.stderr
    assert [line for line in (found.stdout + found.stderr).splitlines() if line.startswith("Error")] == []


@pytest.mark.parametrize("name", ["SeriesInstanceUID", "StudyInstanceUID"])
def test_seg_of_a_film_without_identifiers_is_refused_and_the_rest_is_written(tmp_path, name):
    film = dicom_film(picture(255, np.uint8, SHAPE), **{name: ""})
    film.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    done = save(two_lungs(), tmp_path / "a.dcm", tmp_path / "out", formats=["seg", "png"])
    assert f"a.dcm: has no {name}" in done["error"] and done["files"] == ["a_mask.png"]


def test_seg_of_a_film_with_a_frame_of_reference(tmp_path):
    film = write_dicom(tmp_path / "a.dcm", picture(255, np.uint8, SHAPE), FrameOfReferenceUID="1.2.3.4")
    assert "error" not in save(two_lungs(), film, tmp_path / "out", formats=["seg"])
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "out" / "a_seg.dcm").pixel_array, two_lungs())


def test_seg_of_a_png_or_of_a_class_without_code_is_refused(tmp_path):
    Image.fromarray(picture(255, np.uint8, SHAPE)).save(tmp_path / "a.png")
    assert (
        "a.png: is no DICOM file" in save(two_lungs(), tmp_path / "a.png", tmp_path / "out", formats=["seg"])["error"]
    )
    film = write_dicom(tmp_path / "b.dcm", picture(255, np.uint8, SHAPE))
    done = save(two_lungs(), film, tmp_path / "out", formats=["seg"], class_names=("spleen",))
    assert "class 'spleen' has no code" in done["error"]


# Quality


def test_expected_dice_by_hand():
    probability = torch.tensor([[[0.9, 0.8], [0.3, 0.1]]])
    assert expected_dice(probability) == pytest.approx(2 * 1.7 / (2.1 + 2))
    assert expected_dice(torch.full((1, 4, 4), 0.5)) == 0
    assert expected_dice(torch.ones(1, 4, 4)) == 1


def test_expected_dice_takes_the_most_probable_class():
    probability = torch.tensor([[[0.9, 0.2]], [[0.1, 0.7]]])
    assert expected_dice(probability) == pytest.approx(2 * 1.6 / (1.6 + 2))


def test_expected_dice_of_a_large_film_is_that_of_every_few_pixels():
    small = torch.rand(1, 256, 300, generator=torch.Generator().manual_seed(0))
    large = small.repeat_interleave(3, 1).repeat_interleave(3, 2)
    assert expected_dice(large) == pytest.approx(expected_dice(small))


def flags(mask, expected, **settings):
    data = {"pred": MetaTensor(torch.from_numpy(mask)[None]), "expected_dice": expected}
    return QualityFlagsd("pred", **settings)(data)["flags"]


def test_flags_of_single_faults():
    lungs = two_lungs().T
    assert flags(lungs, 0.97) == []
    assert flags(lungs, 0.93) == ["low_confidence"]
    assert flags(lungs, 0.89) == ["low_confidence", "not_a_chest_film"]
    one = np.where(np.arange(64)[:, None] < 30, lungs, 0)
    assert flags(one, 0.97) == ["one_lung"]
    assert flags(one, 0.94) == ["one_lung", "low_confidence", "not_a_chest_film"]
    assert flags(one, 0.97, one_class=False) == []
    cropped = lungs.copy()
    cropped[5:15, :22] = 1
    assert flags(cropped, 0.97) == ["touches_border"]
    assert flags(np.zeros((8, 8), np.uint8), 0.0) == ["nothing_found", "low_confidence", "not_a_chest_film"]
    assert flags(np.ones((8, 8), np.uint8), 0.94)[-1] == "not_a_chest_film"


def test_shares_by_hand():
    assert second_part(two_lungs() > 0) == pytest.approx(96 / 120)
    assert second_part(np.ones((3, 3), bool)) == 0
    mask = np.zeros((5, 4), bool)
    mask[0, 1:3] = mask[4, 3] = True
    assert border_share(mask) == pytest.approx(3 / 14)


# Areas


def test_areas_by_hand():
    areas = lung_areas(two_lungs().T, ("lungs",), (0.5, 0.2))
    assert areas == pytest.approx({"area_cm2": 0.216, "right_lung_cm2": 0.12, "left_lung_cm2": 0.096})


def test_mirrored_film_swaps_the_lungs():
    areas = lung_areas(two_lungs().T, ("lungs",), (0.5, 0.2), Pose(flip_columns=True))
    assert (areas["right_lung_cm2"], areas["left_lung_cm2"]) == pytest.approx((0.096, 0.12))


def test_lungs_that_touch_are_not_told_apart():
    mask = two_lungs()
    mask[12, :50] = 1
    assert set(lung_areas(mask.T, ("lungs",), (0.5, 0.2))) == {"area_cm2"}


def test_named_classes_have_their_areas():
    mask = two_lungs()
    mask[:, 30:] *= 2
    areas = lung_areas(mask.T, ("left lung", "right lung"), (0.5, 0.2))
    assert (areas["left_lung_cm2"], areas["right_lung_cm2"]) == pytest.approx((0.12, 0.096))


# What the record of a film says


def answered(source, mask: np.ndarray) -> MetaTensor:
    """`mask` (rows x columns of the file) as the pipeline hands it on after `Invertd`: 1 x W x H."""
    image = CanonicalFilmd("image")(LoadRadiographd("image")({"image": str(source)}))["image"]
    return MetaTensor(torch.from_numpy(mask.T.copy())[None], meta=image.meta)


def in_a_shutter() -> dict[str, object]:
    """Exposed were rows 5 to 35 and columns 4 to 59, of 40 x 64."""
    edges = {"LeftVertical": 5, "RightVertical": 60, "UpperHorizontal": 6, "LowerHorizontal": 36}
    return {"ShutterShape": "RECTANGULAR", **{f"Shutter{name}Edge": place for name, place in edges.items()}}


def test_border_is_that_of_the_exposed_field(tmp_path):
    film = write_dicom(tmp_path / "a.dcm", picture(255, np.uint8, SHAPE), **in_a_shutter())
    whole = write_dicom(tmp_path / "b.dcm", picture(255, np.uint8, SHAPE))
    mask = two_lungs()
    mask[10:36, 5:15] = 1  # down to the lower edge of the field
    for path, expected in ((film, ["touches_border"]), (whole, [])):
        data = {"pred": answered(path, mask), "expected_dice": 0.97}
        assert QualityFlagsd("pred")(data)["flags"] == expected


def test_what_was_decided_by_looking_is_a_flag(tmp_path):
    film = write_dicom(tmp_path / "a.dcm", picture(255, np.uint8, SHAPE))
    pred = answered(film, two_lungs())
    pred.meta["film"] = {**pred.meta["film"], "flags": "turned_by_content;heart_on_the_right"}
    flags = QualityFlagsd("pred")({"pred": pred, "expected_dice": 0.93})["flags"]
    assert flags == ["low_confidence", "turned_by_content", "heart_on_the_right"]


def row_of(tmp_path, pred: MetaTensor) -> dict[str, str]:
    """Row of the table for one answer."""
    results = Results(tmp_path / "results.csv", tmp_path, ("lungs",))
    result = {"pred": pred, "flags": [], "expected_dice": 0.98, "files": []}
    results.iteration_completed(SimpleNamespace(state=SimpleNamespace(output=[result])))
    results.finish()
    with (tmp_path / "results.csv").open(newline="") as file:
        return next(csv.DictReader(file))


def test_table_says_where_values_pose_spacing_and_field_came_from(tmp_path):
    tags = {"PatientOrientation": ["R", "F"], "ImagerPixelSpacing": [0.2, 0.2], **in_a_shutter()}
    row = row_of(
        tmp_path, answered(write_dicom(tmp_path / "a.dcm", picture(4000, np.uint16, SHAPE), **tags), two_lungs())
    )
    assert row["values"] == "as stored" and row["spacing"] == "ImagerPixelSpacing"
    assert row["pose"] == "mirrored (PatientOrientation)"
    assert row["field"].startswith("ShutterShape: ") and len(row["field"].split()) == 5
    Image.fromarray(picture(255, np.uint8, SHAPE)).save(tmp_path / "b.png")
    row = row_of(tmp_path, answered(tmp_path / "b.png", two_lungs()))
    told = [row[name] for name in ("values", "pose", "spacing", "field")]
    assert told == ["as stored", "upright (not stated)", "not stated", "whole"]


@pytest.mark.parametrize("words, right", [(["L", "F"], 24), (["R", "F"], 16), (["R", "H"], 16), (["L", "H"], 24)])
def test_right_lung_is_the_patients_whatever_the_pose(tmp_path, words, right):
    """12 x 10 pixels on the left of the stored picture, 10 x 8 on its right."""
    mask = two_lungs()
    mask[10:12, 40:48] = 0
    film = write_dicom(tmp_path / "a.dcm", picture(255, np.uint8, SHAPE), PatientOrientation=words, PixelSpacing=[5, 4])
    row = row_of(tmp_path, answered(film, mask))
    assert (float(row["right_lung_cm2"]), float(row["left_lung_cm2"])) == (right, 40 - right)


def test_nifti_of_a_turned_film_says_how_it_hangs(tmp_path):
    film = write_dicom(
        tmp_path / "a.dcm", picture(255, np.uint8, SHAPE), PixelSpacing=[0.2, 0.1], PatientOrientation=["F", "R"]
    )
    SaveMaskd("pred", tmp_path / "out", tmp_path, formats=["nifti"])({"pred": answered(film, two_lungs())})
    image = nibabel.load(tmp_path / "out" / "a_mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj)[..., 0].T, two_lungs())
    np.testing.assert_allclose(image.header.get_zooms()[:2], (0.1, 0.2))
    assert nibabel.aff2axcodes(image.affine)[:2] == ("P", "R")  # columns to the feet, rows to the right


def test_overlay_is_upright(tmp_path):
    """The film is stored upside down; its mask's lower left corner is the picture's upper right one."""
    film = write_dicom(tmp_path / "a.dcm", picture(4000, np.uint16, SHAPE), PatientOrientation=["R", "H"])
    SaveMaskd("pred", tmp_path / "out", tmp_path, formats=["overlay"])({"pred": answered(film, two_lungs())})
    shown = np.asarray(Image.open(tmp_path / "out" / "a_overlay.png")).astype(int)
    red = ((shown[..., 0] - shown[..., 1]) > 100)[::-1, ::-1]
    assert red[10, 5] and red[21, 47] and not red[15, 10] and not red[30, 30]


# The table


class Bright(torch.nn.Module):
    """Logits of the pixels above the middle."""

    def forward(self, image):
        return (image - 128).sign() * 4


def folder_run(folder, out, resume=False, num_workers=0, items=None):
    """Every film of `folder` through loader, evaluator and table."""
    results = Results(out / "results.csv", folder, ("lungs",), resume)
    films = items or [{"image": str(path)} for path in sorted(folder.iterdir())]
    dataset = Dataset(results.pending(films), LoadRadiographd("image"))

    def finish(d):
        d = ExpectedDiced("pred")({**d, "pred": torch.sigmoid(d["pred"])})
        d["pred"] = (d["pred"] > 0.5).to(torch.uint8)
        return SaveMaskd("pred", out, folder)(QualityFlagsd("pred")(d))

    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=TolerantLoader(dataset, results.failed, num_workers),
        network=Bright(),
        prepare_batch=lambda batch, device, non_blocking: (batch["image"], None),
        postprocessing=finish,
        val_handlers=[results],
    )
    evaluator.run()
    return results


def table(out):
    with (out / "results.csv").open(newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    film = np.where(two_lungs() > 0, 200, 10).astype(np.uint8)
    write_dicom(folder / "a.dcm", film, PixelSpacing=[0.5, 0.2])
    (folder / "b.png").write_bytes(b"no image")
    Image.fromarray(film).save(folder / "c.png")
    return folder


@pytest.mark.parametrize("num_workers", [0, 2])
def test_bad_film_is_reported_and_the_rest_is_done(folder, tmp_path, num_workers):
    results = folder_run(folder, tmp_path / "out", num_workers=num_workers)
    rows = table(tmp_path / "out")
    assert {name: row["status"] for name, row in rows.items()} == {"a.dcm": "done", "b.png": "failed", "c.png": "done"}
    assert "b.png: cannot be read as an image" in rows["b.png"]["message"]
    assert rows["a.dcm"]["written"] == "a_mask.png" and (tmp_path / "out" / "a_mask.png").is_file()
    assert float(rows["a.dcm"]["area_cm2"]) == pytest.approx(0.2)  # 0.216, in tenths
    assert (rows["a.dcm"]["width"], rows["a.dcm"]["height"]) == ("64", "40")
    assert rows["c.png"]["area_cm2"] == "" and float(rows["c.png"]["area_share"]) == pytest.approx(216 / 2560, abs=1e-4)
    with pytest.raises(BundleError, match="1 of 3 films failed, see .*results.csv; first: .*b.png"):
        results.finish()


def test_folder_of_broken_films_alone(folder, tmp_path):
    results = folder_run(folder, tmp_path / "out", items=[{"image": str(folder / "b.png")}])
    with pytest.raises(BundleError, match="1 of 1 films failed"):
        results.finish()


def test_patients_are_not_in_the_table(folder, tmp_path):
    folder_run(folder, tmp_path / "out")
    text = (tmp_path / "out" / "results.csv").read_text()
    assert "Doe" not in text and "4711" not in text


def test_resumed_run_repeats_what_failed_and_keeps_what_is_done(folder, tmp_path):
    folder_run(folder, tmp_path / "out")
    before = (tmp_path / "out" / "a_mask.png").stat().st_mtime_ns
    shutil.copy(folder / "c.png", folder / "b.png")
    results = folder_run(folder, tmp_path / "out", resume=True)
    results.finish()
    assert (tmp_path / "out" / "a_mask.png").stat().st_mtime_ns == before
    assert {row["status"] for row in table(tmp_path / "out").values()} == {"done"} and len(table(tmp_path / "out")) == 3
    again = folder_run(folder, tmp_path / "out", resume=True)  # nothing is left to do
    again.finish()
    assert len(table(tmp_path / "out")) == 3


def test_row_that_a_crash_cut_off_is_repeated(folder, tmp_path):
    folder_run(folder, tmp_path / "out")
    path = tmp_path / "out" / "results.csv"
    path.write_text(path.read_text()[:-30])
    films = [{"image": str(folder / name)} for name in ("a.dcm", "c.png")]
    assert Results(path, folder, ("lungs",), resume=True).pending(films) == films[1:]


def test_table_of_something_else_is_not_overwritten_by_a_resumed_run(folder, tmp_path):
    (tmp_path / "results.csv").write_text("name,grade\nJane,1\n")
    with pytest.raises(BundleError, match="results.csv: is no table of an earlier run"):
        Results(tmp_path / "results.csv", folder, ("lungs",), resume=True)
