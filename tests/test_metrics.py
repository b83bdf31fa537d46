"""Metrics against hand calculations, their summary, and the table a MONAI evaluator writes."""

import csv
import json
import math
import os
import statistics
import time

import nibabel
import numpy as np
import pytest
import torch
from dicom_files import picture, write_dicom
from ignite.engine import Engine
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.handlers import MeanDice, from_engine
from PIL import Image
from scipy.ndimage import binary_erosion, distance_transform_edt

from scripts.data import LoadRadiographd
from scripts.data.loading import pixel_spacing
from scripts.errors import BundleError
from scripts.evaluation import METRICS, MaskFiles, MetricsTable, RunningDice, format_summary, image_metrics, summarize
from scripts.files import TEXT

NAMES = ["lungs"]


def square(top, left, side=10, size=40):
    mask = torch.zeros(1, size, size)
    mask[0, top : top + side, left : left + side] = 1
    return mask


def surface_distances(a, b, spacing=(1, 1)):
    """Distances from the border pixels of `a` to the border of `b`."""
    a, b = (mask & ~binary_erosion(mask) for mask in (np.asarray(a) > 0, np.asarray(b) > 0))
    return distance_transform_edt(~b, sampling=spacing)[a]


def reference(a, b, spacing=(1, 1)):
    there, back = surface_distances(a, b, spacing), surface_distances(b, a, spacing)
    both = np.concatenate([there, back])
    return {
        "nsd": float((both <= 2).mean()),
        "hd95": float(max(np.percentile(there, 95), np.percentile(back, 95))),
        "assd": float(both.mean()),
    }


def test_overlap_of_small_masks_by_hand():
    prediction = torch.tensor([[[1, 1, 1, 0], [0, 0, 0, 0]]])
    truth = torch.tensor([[[0, 1, 1, 1], [0, 1, 1, 0]]])
    figures = image_metrics(prediction, truth, NAMES)
    assert figures["dice"] == pytest.approx(2 * 2 / (3 + 5))
    assert figures["iou"] == pytest.approx(2 / 6)


def test_equal_masks_are_perfect():
    assert image_metrics(square(5, 5), square(5, 5), NAMES) == {"dice": 1, "iou": 1, "nsd": 1, "hd95": 0, "assd": 0}


def test_square_shifted_by_three_pixels_by_hand():
    """36 border pixels each. The far edge's 10 pixels lie 3 away, top and bottom edges overlap in 7."""
    figures = image_metrics(square(10, 10), square(10, 13), NAMES)
    assert figures["dice"] == pytest.approx(0.7)
    assert figures["iou"] == pytest.approx(70 / 130)
    # from the far edge: 10 pixels at 3 and, next to it on both long edges, 2 at 2 and 2 at 1; the near edge's 8 inner
    # pixels at most 3 from the other border; the rest 0
    expected = reference(square(10, 10)[0], square(10, 13)[0])
    assert expected["hd95"] == 3
    for name, value in expected.items():
        assert figures[name] == pytest.approx(value, abs=1e-6), name


def test_far_squares_have_no_overlap_and_distances_by_hand():
    figures = image_metrics(square(0, 0, side=1), square(3, 4, side=1), NAMES)
    assert figures == pytest.approx({"dice": 0, "iou": 0, "nsd": 0, "hd95": 5, "assd": 5})


@pytest.mark.parametrize("seed", range(4))
def test_surface_metrics_of_irregular_masks_match_the_distance_transform(seed):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:60, :60]
    masks = []
    for _ in range(2):
        row, column, a, b = rng.uniform([25, 25, 8, 8], [35, 35, 18, 18])
        masks.append(((rows - row) / a) ** 2 + ((columns - column) / b) ** 2 < 1)
    figures = image_metrics(*(torch.from_numpy(mask)[None].float() for mask in masks), NAMES)
    for name, value in reference(*masks).items():
        assert figures[name] == pytest.approx(value, abs=1e-4), name


def test_spacing_scales_distances_along_its_own_axis():
    along_rows = image_metrics(square(0, 0, 1), square(3, 0, 1), NAMES, (0.5, 0.2))
    along_columns = image_metrics(square(0, 0, 1), square(0, 3, 1), NAMES, (0.5, 0.2))
    assert along_rows["hd95_mm"] == pytest.approx(1.5) and along_columns["hd95_mm"] == pytest.approx(0.6)
    assert along_rows["assd_mm"] == pytest.approx(1.5) and along_columns["assd_mm"] == pytest.approx(0.6)
    # 3 pixels exceed the tolerance of 2 pixels, 1.5 mm and 0.6 mm do not exceed 2 mm
    assert along_rows["nsd"] == 0 and along_rows["nsd_mm"] == 1
    assert along_rows["hd95"] == along_columns["hd95"] == 3


def test_anisotropic_spacing_matches_the_distance_transform():
    a, b = square(10, 10), square(14, 13, side=12)
    figures = image_metrics(a, b, NAMES, (0.7, 1.9))
    for name, value in reference(a[0], b[0], (0.7, 1.9)).items():
        assert figures[f"{name}_mm"] == pytest.approx(value, abs=1e-4), name


def test_without_spacing_no_millimetres_are_claimed():
    assert set(image_metrics(square(0, 0), square(1, 1), NAMES)) == set(METRICS)


def test_two_empty_masks_leave_everything_undefined():
    empty = torch.zeros(1, 8, 8)
    assert all(math.isnan(value) for value in image_metrics(empty, empty, NAMES, (1, 1)).values())


def test_one_empty_mask_scores_zero_and_has_no_distance():
    empty = torch.zeros(1, 40, 40)
    for pair in ((empty, square(0, 0)), (square(0, 0), empty)):
        figures = image_metrics(*pair, NAMES, (1, 1))
        assert [figures[name] for name in ("dice", "iou", "nsd", "nsd_mm")] == [0] * 4
        assert all(math.isnan(figures[name]) for name in ("hd95", "assd", "hd95_mm", "assd_mm"))


def test_classes_have_columns_of_their_own_and_a_mean_of_those_defined():
    prediction = torch.cat([square(0, 0), square(10, 10), torch.zeros(1, 40, 40)])
    truth = torch.cat([square(0, 0), square(10, 15), torch.zeros(1, 40, 40)])
    figures = image_metrics(prediction, truth, ["right", "left", "heart"])
    assert figures["dice_right"] == 1 and figures["dice_left"] == pytest.approx(0.5)
    assert math.isnan(figures["dice_heart"])
    assert figures["dice"] == pytest.approx(0.75)
    assert {f"{metric}_{name}" for metric in METRICS for name in ("right", "left", "heart")} <= set(figures)


def test_running_dice_is_that_of_monai_also_where_labels_lack_classes():
    generator = torch.Generator().manual_seed(0)
    batches = [[(torch.rand(2, 3, 8, 8, generator=generator) > 0.5).float() for _ in range(2)] for _ in range(5)]
    batches[1][1][0, 2] = 0  # a class that the label lacks
    batches[3][1][:] = 0  # labels without any
    engine = Engine(lambda _, batch: [{"pred": pred, "label": label} for pred, label in zip(*batch)])
    for name, kind in (("running", RunningDice), ("monai", MeanDice)):
        kind(output_transform=from_engine(["pred", "label"])).attach(engine, name)
    metrics = engine.run(batches).metrics
    assert metrics["running"] == pytest.approx(metrics["monai"], abs=1e-6)
    assert math.isnan(engine.run([batches[3]]).metrics["running"])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 classes"):
        image_metrics(square(0, 0), square(0, 0), ["a", "b"])


# Spacing


def test_spacing_of_a_nifti_is_row_before_column(tmp_path):
    array = np.zeros((6, 4), np.float32)  # x before y
    nibabel.save(nibabel.Nifti1Image(array, np.diag([0.3, 0.7, 1, 1])), tmp_path / "a.nii.gz")
    meta = LoadRadiographd("image")({"image": str(tmp_path / "a.nii.gz")})["image"].meta
    assert pixel_spacing(meta) == pytest.approx((0.7, 0.3))


def test_spacing_of_a_dicom_file_is_row_before_column(tmp_path):
    film = write_dicom(tmp_path / "a.dcm", picture(), PixelSpacing=[0.7, 0.3])
    assert pixel_spacing(LoadRadiographd("image")({"image": str(film)})["image"].meta) == pytest.approx((0.7, 0.3))


def test_spacing_is_unknown_where_the_format_does_not_say():
    assert pixel_spacing({}) is None


# Summary


def rows():
    dice = {"a": [0.9, 0.8, 0.4, math.nan], "b": [0.1]}
    return [
        {"id": f"{name}{i}", "dataset": name, "part": "test", "prompt": "full", "dice": value, "hd95": math.nan}
        for name, values in dice.items()
        for i, value in enumerate(values)
    ]


def test_summary_of_each_data_set_by_hand_with_undefined_images_named():
    first, second = summarize(rows())
    assert (first["dataset"], first["part"], first["prompt"], first["n"]) == ("a", "test", "full", 4)
    figures = first["metrics"]["dice"]
    assert figures["mean"] == pytest.approx(0.7) and figures["median"] == pytest.approx(0.8)
    assert figures["std"] == pytest.approx(statistics.stdev([0.9, 0.8, 0.4]))
    assert figures["n"] == 3 and figures["undefined"] == ["a3"]
    assert second["metrics"]["dice"] == {"mean": 0.1, "std": None, "median": 0.1, "n": 1, "undefined": []}
    assert first["metrics"]["hd95"]["mean"] is None and first["metrics"]["hd95"]["undefined"] == [
        "a0",
        "a1",
        "a2",
        "a3",
    ]


def test_data_sets_parts_and_prompts_are_never_averaged_together():
    base = rows()[:1]
    others = [dict(base[0], **{name: "other"}) for name in ("dataset", "part", "prompt")]
    assert [group["n"] for group in summarize(base + others)] == [1, 1, 1, 1]


def test_text_table_states_mean_deviation_and_how_many_are_undefined():
    lines = format_summary(summarize(rows()), ["dice", "hd95"]).splitlines()
    deviation = statistics.stdev([0.9, 0.8, 0.4])
    assert lines[0].split() == ["data", "set", "part", "prompt", "n", "dice", "hd95"]
    assert lines[1].split() == ["a", "test", "full", "4", "0.7000", "+-", f"{deviation:.4f}", "(1?)", "-"]
    assert lines[2].split() == ["b", "test", "full", "1", "0.1000", "-"]
    assert "(k?)" in lines[3]


# The handler


class Shift(torch.nn.Module):
    """Predicts its input, moved right by two pixels, in 40 ms a batch."""

    def forward(self, image):
        time.sleep(0.04)
        return torch.roll(image, 2, dims=-1)


def evaluate(folder, masks, ids=None, **settings):
    items = []
    for i, mask in enumerate(masks):
        image = MetaTensor(mask, meta={"filename_or_obj": f"/films/ward/film{i}.png"})
        items.append(
            {"image": image, "label": MetaTensor(mask), "id": f"id{i}", "dataset": "ab"[i % 2], "part": "test"}
        )
        items[i]["finding"] = "normal"
        items[i] |= {"id": ids[i]} if ids else {}
    table = MetricsTable(folder, **settings)
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items), batch_size=2),
        network=Shift(),
        val_handlers=[table, MaskFiles(folder / "masks", table)],
    ).run()
    with (folder / "metrics.csv").open(newline="", **TEXT) as file:
        return list(csv.DictReader(file)), json.loads((folder / "summary.json").read_text())


def test_evaluator_writes_one_row_an_image_and_a_summary(tmp_path, capsys):
    masks = [square(5, 5), square(8, 12, side=8), torch.zeros(1, 40, 40)]
    table, summary = evaluate(tmp_path / "out", masks, prompt="box")
    assert list(table[0])[:9] == ["id", "dataset", "part", "prompt", "dice", "iou", "nsd", "hd95", "assd"]
    assert [(row["id"], row["dataset"], row["part"], row["prompt"]) for row in table] == [
        ("id0", "a", "test", "box"),
        ("id1", "b", "test", "box"),
        ("id2", "a", "test", "box"),
    ]
    assert float(table[0]["dice"]) == pytest.approx(0.8) and float(table[1]["dice"]) == pytest.approx(0.75)
    for row, mask in zip(table[:2], masks):
        expected = reference(torch.roll(mask, 2, dims=-1)[0], mask[0])
        for name, value in expected.items():
            assert float(row[name]) == pytest.approx(value, abs=1e-4)
    assert math.isnan(float(table[2]["dice"])) and table[0]["hd95_mm"] == ""
    first, second = summary["groups"]
    assert first["metrics"]["dice"]["mean"] == pytest.approx(0.8)
    assert first["metrics"]["dice"]["undefined"] == ["id2"]
    assert second["metrics"]["dice"]["mean"] == pytest.approx(0.75)
    assert "0.8000" in capsys.readouterr().out
    assert 0.02 <= summary["network_seconds_per_image"] < 0.04  # two of three images in one batch


def test_columns_of_the_data_list_are_carried_over_and_empty_where_it_has_none(tmp_path):
    table, _ = evaluate(tmp_path, [square(5, 5)] * 2, carried=["finding", "view"])
    assert list(table[0])[3:7] == ["prompt", "finding", "view", "dice"]
    assert [(row["finding"], row["view"]) for row in table] == [("normal", "")] * 2


def test_masks_are_kept_at_the_size_of_their_image(tmp_path):
    masks = [square(5, 5), square(8, 12, side=8)]
    evaluate(tmp_path, masks)
    for i, mask in enumerate(masks):
        written = np.asarray(Image.open(tmp_path / "masks" / f"id{i}.png"))
        assert written.dtype == np.uint8 and np.array_equal(written, 255 * torch.roll(mask, 2, dims=-1)[0].numpy())


def test_masks_of_several_classes_hold_class_numbers(tmp_path):
    evaluate(tmp_path, [torch.cat([square(5, 5), square(20, 10, side=4)])], class_names=["right", "left"])
    written = np.asarray(Image.open(tmp_path / "masks" / "id0.png"))
    assert sorted(np.unique(written)) == [0, 1, 2] and (written == 2).sum() == 16


def test_second_evaluation_starts_an_empty_table(tmp_path):
    evaluate(tmp_path, [square(5, 5)] * 3)
    table, _ = evaluate(tmp_path, [square(5, 5)])
    assert [row["id"] for row in table] == ["id0"]


def test_table_of_an_earlier_evaluation_stays_until_the_next_one_is_done(tmp_path):
    evaluate(tmp_path, [square(5, 5)] * 2)
    before = (tmp_path / "metrics.csv").read_bytes()
    with pytest.raises(ValueError, match="for 1 classes"):
        evaluate(tmp_path, [*[square(9, 9)] * 2, *[torch.ones(2, 40, 40)] * 2])
    assert (tmp_path / "metrics.csv").read_bytes() == before


def test_full_disk_names_the_table_and_leaves_that_of_an_earlier_evaluation(small_disk):
    evaluate(small_disk, [square(5, 5)] * 2)
    before = (small_disk / "metrics.csv").read_bytes()
    disk = os.statvfs(small_disk)
    (small_disk / "fill").write_bytes(bytes(disk.f_bavail * disk.f_frsize))
    with pytest.raises(BundleError, match="metrics.csv: not written, no space left on the disk .the file of that name"):
        evaluate(small_disk, [square(5, 5)])
    assert (small_disk / "metrics.csv").read_bytes() == before
    (small_disk / "fill").unlink()
    evaluate(small_disk, [square(5, 5)])
    assert sorted(path.name for path in small_disk.iterdir()) == ["masks", "metrics.csv", "summary.json"]


def test_name_that_is_no_utf8_stands_in_the_table_as_it_is(tmp_path):
    name = os.fsdecode(b"R\xf6ntgen")
    rows, _ = evaluate(tmp_path, [square(5, 5)], ids=[name])
    assert rows[0]["id"] == name


def test_table_of_several_classes_has_columns_for_each(tmp_path):
    table, _ = evaluate(tmp_path, [torch.cat([square(5, 5), square(20, 10, side=4)])], class_names=["right", "left"])
    assert float(table[0]["dice_right"]) == pytest.approx(0.8) and float(table[0]["dice_left"]) == pytest.approx(0.5)
    assert float(table[0]["dice"]) == pytest.approx(0.65)
