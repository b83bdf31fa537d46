"""Published data sets: from the folders of their authors to training's manifest."""

import csv
import logging
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import data_sets
import numpy as np
import pytest
from data_sets import FOLDERS, covid_qu_ex, film, save
from monai.bundle import ConfigWorkflow
from monai.transforms import Compose
from PIL import Image

from scripts.data import LoadRadiographd, MaskChannelsd, load_datalist, select, split_by_patient
from scripts.datasets import prepare, read_layout
from scripts.datasets.conversion import decode_runs, merged, read_raw, resized
from scripts.datasets.folders import find_films
from scripts.datasets.layouts import RawFormat
from scripts.datasets.manifest import read_rows
from scripts.errors import BundleError

ROOT = Path(__file__).parents[1]
LAYOUTS = ROOT / "configs" / "layouts"
COPIES = {"distance": 8, "correlation": 0.97}
THIRDS = {"train": 0.34, "validation": 0.33, "test": 0.33}
RAW = {"height": 3, "width": 3, "dtype": ">u2", "bits": 12}
LOAD = Compose([LoadRadiographd(["image", "label"]), MaskChannelsd("label")])


def run(layout, source, out, **settings):
    prepare(LAYOUTS / f"{layout}.yaml", source, out, **{**COPIES, **settings})
    return read_rows(Path(out) / "manifest.csv")


def left_out(out):
    return {Path(row["file"]).name: row["reason"] for row in read_rows(Path(out) / "left_out.csv")}


def state(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()}


def kept(folder):
    """All but the fingerprints, which are made again where they lack."""
    return {path: content for path, content in state(folder).items() if path.name != "fingerprints.npz"}


# From every layout to tensors


@pytest.mark.parametrize("layout", FOLDERS)
def test_layout_goes_from_its_folders_to_tensors(layout, tmp_path):
    write, count = FOLDERS[layout]
    write(tmp_path / "downloads", list(range(300, 300 + count)))
    rows = run(layout, tmp_path / "downloads", tmp_path / "out")
    assert len(rows) == count and not left_out(tmp_path / "out")
    assert {row["target"] for row in rows} == {read_layout(LAYOUTS / f"{layout}.yaml").target}
    items = load_datalist(tmp_path / "out")
    parts = split_by_patient(items, THIRDS)
    assert sum(map(len, parts.values())) == count
    for item in items:
        loaded = LOAD(item)
        assert loaded["image"].shape == loaded["label"].shape and loaded["image"].max() > loaded["image"].min()


def test_every_shipped_layout_has_a_folder_here():
    assert {path.stem for path in LAYOUTS.glob("*.yaml")} == set(FOLDERS)


def test_raw_films_become_16_bits_with_bone_bright(tmp_path):
    data_sets.jsrt_scr(tmp_path / "in", [300, 301, 302])
    rows = run("jsrt_scr", tmp_path / "in", tmp_path / "out")
    with Image.open(tmp_path / "out" / rows[0]["image"]) as image:
        assert image.size == (2048, 2048) and image.mode.startswith("I;16")
        values = np.asarray(image).astype(float)
    assert np.abs(values / 65520 - film(300, 2048)).max() < 1 / 4095
    assert [(row["id"], row["finding"]) for row in rows] == [
        ("jsrt_JPCLN001", "nodule"),
        ("jsrt_JPCLN003", "nodule"),
        ("jsrt_JPCNN002", "normal"),
    ]


def test_both_lungs_become_one_mask_of_the_size_of_the_film(tmp_path):
    data_sets.jsrt_scr(tmp_path / "in", [300])
    (row,) = run("jsrt_scr", tmp_path / "in", tmp_path / "out")
    mask = np.asarray(Image.open(tmp_path / "out" / row["mask"]))
    assert set(np.unique(mask)) == {0, 255}
    small = data_sets.lungs(300, 1024)
    np.testing.assert_array_equal(mask > 0, np.kron(small, np.ones((2, 2), dtype=bool)))


def test_organs_that_are_named_become_classes(tmp_path):
    data_sets.jsrt_scr(tmp_path / "in", [300])
    (row,) = run("jsrt_scr", tmp_path / "in", tmp_path / "out", organs=["right lung", "left lung", "heart"])
    mask = np.asarray(Image.open(tmp_path / "out" / row["mask"]))
    np.testing.assert_array_equal(mask[::2, ::2], data_sets.organs(300, 1024) % 4)
    loaded = Compose([LoadRadiographd("label"), MaskChannelsd("label", classes=3)])(load_datalist(tmp_path / "out")[0])
    assert loaded["label"].shape == (3, 2048, 2048)


def test_patient_is_what_the_name_or_the_header_says(tmp_path):
    data_sets.qata_cov19(tmp_path / "in", list(range(300, 306)))
    rows = run("qata_cov19", tmp_path / "in", tmp_path / "out")
    assert [row["patient"] for row in rows].count("qata_cov19_sub-S00004") == 2
    data_sets.siim_acr(tmp_path / "dicom", [310, 311, 312])
    rows = run("siim_acr", tmp_path / "dicom", tmp_path / "other")
    assert [row["patient"] for row in rows] == ["siim_acr_p0", "siim_acr_p1", "siim_acr_p2"]
    assert [row["finding"] for row in rows] == ["none", "lesion", "none"]


def test_runs_of_a_film_in_two_rows_are_one_mask(tmp_path):
    data_sets.siim_acr(tmp_path / "in", [310, 311, 312])
    rows = run("siim_acr", tmp_path / "in", tmp_path / "out")
    masks = [np.asarray(Image.open(tmp_path / "out" / row["mask"])) for row in rows]
    np.testing.assert_array_equal(masks[1] > 0, data_sets.lungs(311, 1024))
    assert not masks[0].any() and not masks[2].any()


# Parts of the conversion


def test_relative_runs_against_a_mask_counted_by_hand():
    # Down the columns of 3 rows x 4 columns: 1 pixel free, 2 set, 4 free, 1 set
    expected = np.array([[0, 0, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]], dtype=bool)
    np.testing.assert_array_equal(decode_runs("1 2 4 1", 3, 4), expected)
    assert decode_runs("0 12", 3, 4).all()


def test_relative_runs_are_the_inverse_of_counting_pixels():
    mask = np.random.default_rng(0).random((37, 23)) < 0.3
    np.testing.assert_array_equal(decode_runs(data_sets.encoded(mask), 37, 23), mask)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ("1 2 3", "must be pairs"),
        ("", "must be pairs"),
        ("-1 3", "must be pairs"),
        ("1 a", "are no numbers"),
        ("5 8", "reach pixel 13 of 3 x 4"),
    ],
)
def test_runs_that_are_wrong_are_refused(runs, message):
    with pytest.raises(BundleError, match=message):
        decode_runs(runs, 3, 4)


def test_resized_mask_keeps_area_and_place():
    rows, columns = np.mgrid[:256, :256]
    disc = (rows - 120) ** 2 + (columns - 140) ** 2 <= 60**2
    large = resized(disc, 299, 299)
    scale = 299 / 256
    assert large.sum() / disc.sum() == pytest.approx(scale**2, rel=2e-3)
    centre = [index.mean() + 0.5 for index in np.nonzero(large)]
    assert centre == pytest.approx([120.5 * scale, 140.5 * scale], abs=0.1)
    assert resized(disc, 256, 256) is disc


def test_later_organ_lies_above():
    one, two = np.array([[1, 1, 0]], dtype=bool), np.array([[0, 1, 0]], dtype=bool)
    assert merged([one, two], as_classes=True).tolist() == [[1, 2, 0]]
    assert merged([one, two], as_classes=False).tolist() == [[255, 255, 0]]


def test_raw_film_of_other_length_or_depth_is_refused(tmp_path):
    raw = RawFormat(height=2, width=3, dtype=">u2", bits=12, inverted=True)
    path = tmp_path / "a.IMG"
    path.write_bytes(np.array([0, 1, 4095, 4000, 7, 8], dtype=">u2").tobytes())
    assert read_raw(path, raw).tolist() == [[65520, 65504, 0], [1520, 65408, 65392]]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match="a.IMG: holds 11 bytes, expected 2 x 3 words of 2 bytes"):
        read_raw(path, raw)
    path.write_bytes(np.array([0, 1, 4095, 4000, 7, 8], dtype="<u2").tobytes())
    with pytest.raises(BundleError, match="more than 12 bits; is the byte order another"):
        read_raw(path, raw)


# In place, copied, again


def test_files_below_the_folder_stay_where_they_are(tmp_path):
    covid_qu_ex(tmp_path / "downloads", list(range(300, 306)))
    rows = run("covid_qu_ex", tmp_path / "downloads", tmp_path)
    assert all(row["image"].startswith("downloads/") and row["mask"].startswith("downloads/") for row in rows)
    assert [path.name for path in (tmp_path / "prepared").rglob("*") if path.is_file()] == ["fingerprints.npz"]


def test_folder_may_move_with_its_manifest(tmp_path):
    covid_qu_ex(tmp_path / "in", list(range(300, 303)))
    run("covid_qu_ex", tmp_path / "in", tmp_path / "out")
    shutil.rmtree(tmp_path / "in")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    assert len(load_datalist(tmp_path / "elsewhere")) == 3


def test_second_run_writes_no_film_again(tmp_path):
    data_sets.covid19_radiography(tmp_path / "in", list(range(300, 304)))
    first = run("covid19_radiography", tmp_path / "in", tmp_path / "out")
    files = state(tmp_path / "out" / "prepared" / "covid19_radiography")
    assert run("covid19_radiography", tmp_path / "in", tmp_path / "out") == first
    assert state(tmp_path / "out" / "prepared" / "covid19_radiography") == files


def test_interrupted_run_goes_on(tmp_path, monkeypatch):
    from scripts.datasets import conversion

    data_sets.covid19_radiography(tmp_path / "in", list(range(300, 304)))
    written, write_png = [], conversion.write_png

    def killed(path, array):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write_png(path, array)

    monkeypatch.setattr(conversion, "write_png", killed)
    with pytest.raises(KeyboardInterrupt):
        run("covid19_radiography", tmp_path / "in", tmp_path / "out", num_workers=1)
    assert not (tmp_path / "out" / "manifest.csv").exists()
    before = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(conversion, "write_png", write_png)
    assert len(run("covid19_radiography", tmp_path / "in", tmp_path / "out")) == 4
    assert before == {path: path.stat().st_mtime_ns for path in written}


def test_changed_mask_is_converted_again(tmp_path):
    data_sets.covid19_radiography(tmp_path / "in", [300, 301])
    row = run("covid19_radiography", tmp_path / "in", tmp_path / "out")[0]
    before = (tmp_path / "out" / row["mask"]).read_bytes()
    time.sleep(0.01)
    save(tmp_path / "in" / "COVID-19_Radiography_Dataset" / "COVID" / "masks" / "COVID-1.png", np.eye(256) > 0, "RGB")
    changed = run("covid19_radiography", tmp_path / "in", tmp_path / "out")[0]
    assert (tmp_path / "out" / changed["mask"]).read_bytes() != before
    assert changed["image"] == row["image"] and not (tmp_path / "out" / row["mask"]).exists()


def test_other_organs_replace_what_was_written(tmp_path):
    data_sets.jsrt_scr(tmp_path / "in", [300])
    (first,) = run("jsrt_scr", tmp_path / "in", tmp_path / "out")
    (row,) = run("jsrt_scr", tmp_path / "in", tmp_path / "out", organs=["heart"])
    assert set(np.unique(np.asarray(Image.open(tmp_path / "out" / row["mask"])))) == {0, 1}
    assert not (tmp_path / "out" / first["mask"]).exists() and row["image"] == first["image"]


def blurred(folder, seeds):
    """Films whose masks are masks with a threshold only."""
    covid_qu_ex(folder, seeds)
    for path in folder.rglob("lung masks/*.png"):
        with Image.open(path) as image:
            image.reduce(2).resize((256, 256), Image.Resampling.BILINEAR).save(path)


def test_refused_run_leaves_the_manifest_and_all_that_it_lists(tmp_path):
    blurred(tmp_path / "in", [300, 301, 302])
    rows = run("covid_qu_ex", tmp_path / "in", tmp_path / "out", threshold=127)
    before = kept(tmp_path / "out")
    with pytest.raises(BundleError, match="no film can be used; .* pass --threshold"):
        run("covid_qu_ex", tmp_path / "in", tmp_path / "out")
    assert before.items() <= kept(tmp_path / "out").items()
    assert len(load_datalist(tmp_path / "out")) == 3
    # What the refused run wrote is gone with the next one that is done, and that writes nothing again
    assert run("covid_qu_ex", tmp_path / "in", tmp_path / "out", threshold=127) == rows
    assert kept(tmp_path / "out").keys() == before.keys()


def test_damaged_source_leaves_what_the_manifest_lists(tmp_path):
    covid_qu_ex(tmp_path / "in", [300, 301, 302])
    run("covid_qu_ex", tmp_path / "in", tmp_path / "out")
    before = kept(tmp_path / "out")
    for path in (tmp_path / "in").rglob("images/*.png"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BundleError, match="no film can be used; .* cannot be read as an image"):
        run("covid_qu_ex", tmp_path / "in", tmp_path / "out")
    assert before.items() <= kept(tmp_path / "out").items()


def test_another_source_leaves_what_the_manifest_lists_until_it_is_done(tmp_path):
    covid_qu_ex(tmp_path / "a", [300, 301, 302])
    time.sleep(0.01)
    blurred(tmp_path / "b", [310, 311, 312])  # newer files of the same names
    run("covid_qu_ex", tmp_path / "a", tmp_path / "out")
    before = kept(tmp_path / "out")
    with pytest.raises(BundleError, match="no film can be used"):
        run("covid_qu_ex", tmp_path / "b", tmp_path / "out")
    assert before.items() <= kept(tmp_path / "out").items()


def test_interrupted_run_with_other_settings_leaves_what_the_manifest_lists_and_goes_on(tmp_path, monkeypatch):
    from scripts.datasets import conversion

    data_sets.jsrt_scr(tmp_path / "in", [300, 301])
    run("jsrt_scr", tmp_path / "in", tmp_path / "out")
    before, written, write_png = kept(tmp_path / "out"), [], conversion.write_png

    def killed(path, array):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(path)
        write_png(path, array)

    monkeypatch.setattr(conversion, "write_png", killed)
    with pytest.raises(KeyboardInterrupt):
        run("jsrt_scr", tmp_path / "in", tmp_path / "out", organs=["heart"], num_workers=1)
    assert before.items() <= kept(tmp_path / "out").items()
    assert len(load_datalist(tmp_path / "out")) == 2
    times = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(conversion, "write_png", write_png)
    rows = run("jsrt_scr", tmp_path / "in", tmp_path / "out", organs=["heart"])
    assert times == {path: path.stat().st_mtime_ns for path in written}
    files = {path.relative_to(tmp_path / "out").as_posix() for path in state(tmp_path / "out" / "prepared" / "jsrt")}
    assert files == {row[column] for row in rows for column in ("image", "mask")}


def test_rows_under_another_name_keep_their_files(tmp_path):
    data_sets.jsrt_scr(tmp_path / "in", [300])
    (row,) = run("jsrt_scr", tmp_path / "in", tmp_path / "out")
    path = tmp_path / "out" / "manifest.csv"
    path.write_text(path.read_text().replace(",jsrt,", ",lungs,").replace(",jsrt_JPCLN001,", ",mine,", 1))
    rows = run("jsrt_scr", tmp_path / "in", tmp_path / "out", organs=["heart"])
    assert [row["dataset"] for row in rows] == ["lungs", "jsrt"]
    assert (tmp_path / "out" / row["mask"]).is_file() and len(load_datalist(tmp_path / "out")) == 2


def test_halves_that_a_killed_process_left_are_removed(tmp_path):
    covid_qu_ex(tmp_path / "in", [300, 301, 302])
    row, *_ = run("covid_qu_ex", tmp_path / "in", tmp_path / "out")
    process = subprocess.Popen(["true"])
    process.wait()
    halves = [tmp_path / "out" / f"{name}.{process.pid}.partial" for name in ("manifest.csv", row["mask"])]
    for half in halves:
        half.write_bytes(b"half")
    run("covid_qu_ex", tmp_path / "in", tmp_path / "out")
    assert not any(half.exists() for half in halves)


def test_second_data_set_is_added_and_the_same_one_replaced(tmp_path):
    covid_qu_ex(tmp_path / "a", list(range(300, 306)))
    data_sets.qata_cov19(tmp_path / "b", list(range(320, 326)))
    run("covid_qu_ex", tmp_path / "a", tmp_path / "out")
    run("qata_cov19", tmp_path / "b", tmp_path / "out")
    (tmp_path / "a" / "Lung Segmentation Data/Lung Segmentation Data/Train/COVID-19/images/covid_1.png").unlink()
    rows = run("covid_qu_ex", tmp_path / "a", tmp_path / "out")
    assert [row["dataset"] for row in rows] == ["covid_qu_ex"] * 5 + ["qata_cov19"] * 6
    assert left_out(tmp_path / "out") == {"covid_1.png": "mask without film"}


def test_rows_of_a_users_own_manifest_stay(tmp_path):
    covid_qu_ex(tmp_path / "in", list(range(300, 303)))
    save(tmp_path / "out" / "mine.png", film(340, 100))
    save(tmp_path / "out" / "mask.png", data_sets.lungs(340, 100))
    (tmp_path / "out" / "manifest.csv").write_text("id,dataset,image,mask,view\nx,clinic,mine.png,mask.png,PA\n")
    rows = run("covid_qu_ex", tmp_path / "in", tmp_path / "out")
    assert rows[0] | {"view": "PA", "group": "x"} == rows[0] and len(rows) == 4


def test_lung_and_lesion_masks_are_mixed_only_on_demand(tmp_path, caplog):
    covid_qu_ex(tmp_path / "a", list(range(300, 303)))
    data_sets.qata_cov19(tmp_path / "b", list(range(320, 326)))
    run("covid_qu_ex", tmp_path / "a", tmp_path / "out")
    with caplog.at_level(logging.INFO):
        run("qata_cov19", tmp_path / "b", tmp_path / "out")
    assert "qata_cov19: these masks show lesions, not lungs" in caplog.text
    with pytest.raises(BundleError, match="masks show the lesion in qata_cov19, the lung in covid_qu_ex; choose"):
        load_datalist(tmp_path / "out")
    assert len(load_datalist(tmp_path / "out", ["covid_qu_ex"])) == 3
    assert len(load_datalist(tmp_path / "out", ["covid_qu_ex", "qata_cov19"])) == 9


# Parts and copies


def test_published_parts_are_kept_on_demand(tmp_path):
    covid_qu_ex(tmp_path / "in", list(range(300, 306)))
    assert {row["part"] for row in run("covid_qu_ex", tmp_path / "in", tmp_path / "out")} == {""}
    rows = run("covid_qu_ex", tmp_path / "in", tmp_path / "out", keep_parts=True)
    assert [row["part"] for row in rows].count("validation") == 2
    parts = split_by_patient(load_datalist(tmp_path / "out"), THIRDS)
    assert {item["id"] for item in parts["test"]} == {row["id"] for row in rows if row["part"] == "test"}


def two_sets(tmp_path, **settings):
    """The lung part and the infection part of one data set, which share four films."""
    covid_qu_ex(tmp_path / "a", list(range(300, 312)))
    data_sets.covid_qu_ex_infection(tmp_path / "b", [306, 307, 308, 309, 330, 331])
    run("covid_qu_ex", tmp_path / "a", tmp_path / "out", **settings)
    return run("covid_qu_ex_infection", tmp_path / "b", tmp_path / "out", **settings)


def test_copies_across_data_sets_are_one_group_in_one_part(tmp_path):
    rows = two_sets(tmp_path)
    pairs = read_rows(tmp_path / "out" / "duplicates.csv")
    assert {(pair["first"], pair["second"]) for pair in pairs} == {
        ("covid_qu_ex_covid_7", "covid_qu_ex_infection_covid_1"),
        ("covid_qu_ex_non_COVID (8)", "covid_qu_ex_infection_non_COVID (2)"),
        ("covid_qu_ex_Normal (9)", "covid_qu_ex_infection_Normal (3)"),
        ("covid_qu_ex_covid_10", "covid_qu_ex_infection_covid_4"),
    }
    assert {pair["kind"] for pair in pairs} == {"identical"} and len({row["group"] for row in rows}) == 14
    items = load_datalist(tmp_path / "out", ["covid_qu_ex", "covid_qu_ex_infection"])
    for seed in range(20):
        part_of = {}
        for part, members in split_by_patient(items, THIRDS, seed).items():
            for item in members:
                assert part_of.setdefault(item["group"], part) == part, seed


def test_copies_in_different_kept_parts_are_refused_by_name(tmp_path):
    covid_qu_ex(tmp_path / "a", list(range(300, 306)))
    data_sets.covid_qu_ex_infection(tmp_path / "b", [305, 330, 331])  # Test there, Train here
    run("covid_qu_ex", tmp_path / "a", tmp_path / "out", keep_parts=True)
    before = (tmp_path / "out" / "manifest.csv").read_bytes()
    message = r"infection_covid_1 is fixed in train and covid_qu_ex_Normal \(6\) in test.*--drop_contradictions True"
    with pytest.raises(BundleError, match=message):
        run("covid_qu_ex_infection", tmp_path / "b", tmp_path / "out", keep_parts=True)
    assert (tmp_path / "out" / "manifest.csv").read_bytes() == before
    rows = run("covid_qu_ex_infection", tmp_path / "b", tmp_path / "out", keep_parts=True, drop_contradictions=True)
    assert "covid_qu_ex_infection_covid_1" not in {row["id"] for row in rows} and len(rows) == 8
    assert left_out(tmp_path / "out")["covid_1.png"] == "copy or patient of covid_qu_ex_Normal (6), which is in test"


def test_copy_of_a_training_image_is_not_unseen(tmp_path):
    two_sets(tmp_path)
    items = load_datalist(tmp_path / "out", ["covid_qu_ex", "covid_qu_ex_infection"])
    record = tmp_path / "split.json"
    record.write_text('{"train": ["covid_qu_ex_covid_7"], "validation": [], "test": []}')
    unseen = {item["id"] for item in select(items, "unseen", record)}
    assert "covid_qu_ex_infection_covid_1" not in unseen and "covid_qu_ex_infection_covid_4" in unseen


# What is left out, and errors


def test_what_cannot_be_used_is_counted_and_named(tmp_path, caplog):
    covid_qu_ex(tmp_path / "in", list(range(300, 309)))
    root = tmp_path / "in" / "Lung Segmentation Data" / "Lung Segmentation Data"
    train, masks = root / "Train" / "COVID-19" / "images", root / "Train" / "COVID-19" / "lung masks"
    (masks / "covid_1.png").unlink()
    (train / "covid_4.png").write_bytes((train / "covid_4.png").read_bytes()[:300])
    save(masks / "covid_7.png", data_sets.lungs(306, 100))
    (train / "readme.txt").write_text("x")
    blurred = Image.open(root / "Val/Non-COVID/lung masks/non_COVID (2).png").resize((256, 256)).reduce(2)
    blurred.resize((256, 256), Image.Resampling.BILINEAR).save(root / "Val/Non-COVID/lung masks/non_COVID (2).png")
    (root / "Val/Non-COVID/lung masks/non_COVID (5).png").write_bytes(b"no picture")
    save(masks / "covid_99.png", data_sets.lungs(300, 256))
    with caplog.at_level(logging.INFO):
        rows = run("covid_qu_ex", tmp_path / "in", tmp_path / "out")
    assert len(rows) == 4
    reasons = left_out(tmp_path / "out")
    assert reasons["covid_1.png"] == "no mask of lungs"
    assert re.search(r"covid_4_\w+.png: cannot be read as an image", reasons["covid_4.png"])  # of its copy
    assert "mask is 100 x 100 pixels but its film is 256 x 256" in reasons["covid_7.png"]
    assert reasons["readme.txt"] == "fits no pattern" and reasons["covid_99.png"] == "mask without film"
    assert "mask holds the values 0, " in reasons["non_COVID (2).png"] and "--threshold" in reasons["non_COVID (2).png"]
    assert "cannot be read as a mask" in reasons["non_COVID (5).png"]
    assert "7 files left out" in caplog.text
    assert len(run("covid_qu_ex", tmp_path / "in", tmp_path / "out", threshold=127)) == 5


def test_pattern_that_matches_nothing_is_an_error(tmp_path):
    covid_qu_ex(tmp_path / "in", [300, 301, 302])
    with pytest.raises(BundleError, match="no image of the layout qata_cov19; none of 6 files ends with "):
        run("qata_cov19", tmp_path / "in", tmp_path / "out")
    shutil.rmtree(tmp_path / "in" / "Lung Segmentation Data/Lung Segmentation Data/Val/Non-COVID/lung masks")
    shutil.rmtree(tmp_path / "in" / "Lung Segmentation Data/Lung Segmentation Data/Train/COVID-19/lung masks")
    shutil.rmtree(tmp_path / "in" / "Lung Segmentation Data/Lung Segmentation Data/Test/Normal/lung masks")
    with pytest.raises(BundleError, match=r"no mask \(lungs\) of the layout covid_qu_ex"):
        run("covid_qu_ex", tmp_path / "in", tmp_path / "out")


def test_film_without_a_row_in_the_table_is_left_out(tmp_path):
    data_sets.siim_acr(tmp_path / "in", [310, 311, 312])
    table = tmp_path / "in" / "train-rle.csv"
    table.write_text("\n".join(line for line in table.read_text().splitlines() if ".1, " not in line))
    assert len(run("siim_acr", tmp_path / "in", tmp_path / "out")) == 2
    assert "has no row in" in next(iter(left_out(tmp_path / "out").values()))
    table.write_text("ImageId,Runs\n1,-1\n")
    with pytest.raises(BundleError, match="train-rle.csv: no column 'EncodedPixels'; .* it has ImageId, Runs"):
        run("siim_acr", tmp_path / "in", tmp_path / "out")
    table.write_text("ImageId, EncodedPixels\n")
    with pytest.raises(BundleError, match="train-rle.csv: holds no rows of masks"):
        run("siim_acr", tmp_path / "in", tmp_path / "out")


def test_two_films_of_one_name_are_not_taken_for_one(tmp_path):
    data_sets.jsrt_scr(tmp_path / "in", [300])
    (tmp_path / "in" / "again").mkdir()
    shutil.copy(tmp_path / "in" / "All247images" / "JPCLN001.IMG", tmp_path / "in" / "again")
    layout = read_layout(LAYOUTS / "jsrt_scr.yaml")
    found = find_films(layout, tmp_path / "in")
    assert len(found.films) == 1
    reasons = {path.parent.name: reason for path, reason in found.left_out}
    assert reasons["again"].startswith("second film of the name JPCLN001, beside ")


def test_image_of_another_set_that_is_gone_is_named(tmp_path):
    covid_qu_ex(tmp_path / "out" / "in", [300, 301, 302])
    data_sets.qata_cov19(tmp_path / "b", list(range(320, 326)))
    rows = run("covid_qu_ex", tmp_path / "out" / "in", tmp_path / "out")
    path = tmp_path / "out" / rows[0]["image"]
    path.unlink()
    with pytest.raises(BundleError, match=rf"{re.escape(str(path))}: no such file; prepare covid_qu_ex again"):
        run("qata_cov19", tmp_path / "b", tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", None])
def test_damaged_fingerprints_are_made_again(tmp_path, content):
    covid_qu_ex(tmp_path / "in", [300, 301, 302])
    rows = run("covid_qu_ex", tmp_path / "in", tmp_path / "out")
    store = tmp_path / "out" / "prepared" / "fingerprints.npz"
    store.write_bytes(store.read_bytes()[:-200] if content is None else content)
    assert run("covid_qu_ex", tmp_path / "in", tmp_path / "out") == rows
    assert store.stat().st_size > 1000


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_film_that_may_not_be_read_is_left_out(tmp_path):
    covid_qu_ex(tmp_path / "in", [300, 301, 302, 303])
    path = tmp_path / "in/Lung Segmentation Data/Lung Segmentation Data/Train/COVID-19/images/covid_1.png"
    path.chmod(0)
    assert len(run("covid_qu_ex", tmp_path / "in", tmp_path / "out")) == 3


def test_names_that_are_no_utf8_are_left_out_by_name(tmp_path):
    """A file beside the films, and a film, whose name the manifest could not hold."""
    covid_qu_ex(tmp_path / "in", [300, 301, 302, 303])
    root = tmp_path / "in" / "Lung Segmentation Data" / "Lung Segmentation Data"
    (root / os.fsdecode(b"R\xf6ntgen.txt")).write_text("x")
    for folder in ("images", "lung masks"):
        path = root / "Train" / "COVID-19" / folder / "covid_1.png"
        path.rename(path.with_name(os.fsdecode(b"covid_\xe9.png")))
    for _ in range(2):  # the list is read again
        assert len(run("covid_qu_ex", tmp_path / "in", tmp_path / "out")) == 3
        reasons = left_out(tmp_path / "out")
        assert reasons[r"R\xf6ntgen.txt"] == "fits no pattern"
        assert r"is no UTF-8; rename the file" in reasons[r"covid_\xe9.png"]
        assert len(load_datalist(tmp_path / "out")) == 3


def test_folder_that_may_not_be_read_is_not_passed_over(tmp_path, monkeypatch):
    covid_qu_ex(tmp_path / "in", [300, 301, 302])

    def refused(folder):
        if "Val" in str(folder):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(BundleError, match=r"Val.*: cannot be read \(Permission denied\)"):
        run("covid_qu_ex", tmp_path / "in", tmp_path / "out")


def test_manifest_without_ids_gets_those_that_training_gives(tmp_path):
    covid_qu_ex(tmp_path / "in", [300, 301, 302])
    save(tmp_path / "out" / "mine.png", film(340, 100))
    save(tmp_path / "out" / "mask.png", data_sets.lungs(340, 100))
    (tmp_path / "out" / "manifest.csv").write_text("image,mask\nmine.png,mask.png\n")
    assert load_datalist(tmp_path / "out")[0]["id"] == "mine"
    assert run("covid_qu_ex", tmp_path / "in", tmp_path / "out")[0]["id"] == "mine"


# Layout files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"dataset": None}, "no dataset"),
        ({"target": "heart"}, "target must be lung or lesion, got 'heart'"),
        ({"parts": {"Train": "training"}}, "unknown part 'training'"),
        ({"images": {"pattern": "(?P<id>[.png"}}, "is no regular expression"),
        ({"images": {"pattern": "a.png"}}, "must name the group id"),
        ({"images": {"pattern": "(?P<id>a)(?P<sex>b)"}}, "groups of images may be id, patient, part and finding"),
        ({"masks": {"lungs": "(?P<id>.)(?P<part>.)"}}, "none that the pattern of images lacks"),
        ({"masks": {}}, "either masks or a mask_table"),
        ({"images": {"pattern": "(?P<id>.)", "raw": {"height": 3}}}, "no width of raw"),
        ({"images": {"pattern": "(?P<id>.)", "raw": {**RAW, "colour": 1}}}, "unknown key 'colour' of raw"),
        ({"images": {"pattern": "(?P<id>.)", "raw": {**RAW, "height": "3"}}}, "height of raw takes a whole number"),
        ({"images": {"pattern": "(?P<id>.)", "raw": {**RAW, "dtype": "words"}}}, "dtype of raw must be one of u1, <u2"),
        ({"images": {"pattern": "(?P<id>.)", "raw": {**RAW, "bits": 17}}}, "got '>u2' and 17"),
        ({"images": {"pattern": "(?P<id>.)", "raw": [3, 3]}}, "raw takes keys with values"),
        ({"images": {"pattern": "(?P<id>.)", "parts": None}}, "parts takes names with text"),
        ({"images": "(?P<id>.)"}, "images with a pattern"),
        ({"images": {"pattern": None}}, "images takes text"),
        ({"dataset": 5}, "dataset takes text, .*, got 5"),
        ({"dataset": "../a"}, "dataset must be a name that a folder can have"),
        ({"masks": ["(?P<id>.)"]}, "masks takes names with text"),
        ({"findings": {False: "normal"}}, "findings takes names with text each, in quotes .*, got {False: 'normal'}"),
        ({"ignored": "readme"}, "ignored takes a list of text"),
        ({"resize_masks": "no, thanks"}, "resize_masks takes true or false"),
        ({"masks": {}, "mask_table": {"id": "a"}}, "no pattern of mask_table"),
        ({5: "x"}, "unknown key 5"),
    ],
)
def test_layout_that_is_wrong_is_refused(tmp_path, change, message):
    import yaml

    content = {"dataset": "a", "target": "lung", "images": {"pattern": "(?P<id>.)"}, "masks": {"lungs": "(?P<id>.)"}}
    content = {key: value for key, value in {**content, **change}.items() if value is not None}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(BundleError, match=message) as caught:
        read_layout(path)
    assert str(path) in str(caught.value)


def test_unknown_layout_is_named_beside_those_there_are(tmp_path):
    with pytest.raises(
        BundleError, match="nih.yaml: no such layout; known: covid19_radiography, covid_qu_ex, .*jsrt_scr"
    ):
        read_layout(LAYOUTS / "nih.yaml")


def test_organ_that_a_layout_lacks_is_named(tmp_path):
    data_sets.jsrt_scr(tmp_path / "in", [300])
    with pytest.raises(BundleError, match="layout jsrt_scr: no masks of 'liver'; it has right lung, left lung, heart"):
        run("jsrt_scr", tmp_path / "in", tmp_path / "out", organs=["liver"])


def test_config_prepares_a_data_set(tmp_path):
    covid_qu_ex(tmp_path / "in", [300, 301, 302])
    workflow = ConfigWorkflow(
        config_file=str(ROOT / "configs" / "prepare.yaml"),
        meta_file=str(ROOT / "configs" / "metadata.json"),
        logging_file=str(ROOT / "configs" / "logging.conf"),
        workflow_type="train",
        run_id="prepare",
        bundle_root=str(ROOT),
        layout="covid_qu_ex",
        source=str(tmp_path / "in"),
        dataset_dir=str(tmp_path / "out"),
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    with (tmp_path / "out" / "manifest.csv").open(newline="") as file:
        assert csv.DictReader(file).fieldnames == [
            "image", "mask", "id", "dataset", "patient", "part", "finding", "target", "group",
        ]  # fmt: skip
