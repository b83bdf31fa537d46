"""Data lists: the three layouts, and their errors."""

import json
from collections import Counter

import pytest
from data_folders import decathlon_folder, manifest_folder, paired_folder, write_manifest, write_png
from PIL import Image

from scripts.data import LoadRadiographd, check_files, list_images, load_datalist, split_by_patient
from scripts.errors import BundleError

# Layouts


def test_manifest_paths_are_relative_to_the_manifest_and_further_columns_are_kept(tmp_path):
    columns = {"id": "id{}".format, "dataset": "ab".__getitem__, "patient": "p{}".format, "view": lambda i: "PA"}
    items = load_datalist(manifest_folder(tmp_path, 2, **columns))
    assert items == [
        {
            "image": str(tmp_path / "x" / f"film{i}.png"),
            "label": str(tmp_path / "y" / f"film{i}_mask.png"),
            "id": f"id{i}",
            "dataset": "ab"[i],
            "patient": f"p{i}",
            "view": "PA",
        }
        for i in range(2)
    ]


def test_manifest_without_optional_columns_takes_names_from_file_and_folder(tmp_path):
    items = load_datalist(manifest_folder(tmp_path / "clinic", 2))
    assert [(item["id"], item["dataset"], item["patient"]) for item in items] == [
        ("film0", "clinic", "film0"),
        ("film1", "clinic", "film1"),
    ]


def test_manifest_of_a_spreadsheet_with_byte_order_mark_is_read(tmp_path):
    write_png(tmp_path / "film.png")
    write_png(tmp_path / "mask.png")
    # "image" is the first column: with the mark left in it would be called "\ufeffimage"
    write_manifest(tmp_path, [{"image": "film.png", "mask": "mask.png"}], encoding="utf-8-sig")
    assert (tmp_path / "manifest.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert [item["id"] for item in load_datalist(tmp_path)] == ["film"]


def test_decathlon_training_section_alone_is_free_to_be_split(tmp_path):
    decathlon_folder(tmp_path, {"training": ["a", "b", "c"]})
    items = load_datalist(tmp_path)
    assert [item["id"] for item in items] == ["a", "b", "c"]
    assert items[0]["image"] == str(tmp_path / "img" / "a.png")
    assert items[0]["label"] == str(tmp_path / "lab" / "a.png")
    assert not any(item.get("part") for item in items)


def test_decathlon_validation_section_fixes_the_part(tmp_path):
    decathlon_folder(tmp_path, {"training": ["a", "b"], "validation": ["c"], "test": ["d"]})
    items = load_datalist(tmp_path)
    parts = {item["id"]: item.get("part") for item in items}
    assert parts == {"a": "train", "b": "train", "c": "validation", "d": "test"}
    parts = split_by_patient(items, {"train": 0.5, "validation": 0.5})
    assert {item["id"] for item in parts["train"]} == {"a", "b"}
    assert {item["id"] for item in parts["validation"]} == {"c"}


def test_decathlon_test_section_without_labels_is_left_out(tmp_path):
    content = decathlon_folder(tmp_path, {"training": ["a"]})
    content["test"] = ["img/z.png"]
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    assert [item["id"] for item in load_datalist(tmp_path)] == ["a"]


def test_decathlon_sections_without_a_test_section_are_a_whole_split(tmp_path):
    decathlon_folder(tmp_path, {"training": ["a", "b"], "validation": ["c"]})
    parts = split_by_patient(load_datalist(tmp_path), {"train": 0.7, "validation": 0.15, "test": 0.15})
    assert {part: [item["id"] for item in members] for part, members in parts.items()} == {
        "train": ["a", "b"],
        "validation": ["c"],
        "test": [],
    }


def test_decathlon_test_section_with_one_missing_label_names_the_entry(tmp_path):
    content = decathlon_folder(tmp_path, {"training": ["a"], "test": ["b", "c"]})
    del content["test"][1]["label"]
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match="entry 1 of 'test'"):
        load_datalist(tmp_path)


def test_folders_are_paired_by_stem_across_formats(tmp_path):
    paired_folder(tmp_path / "set", ("b", "a"))
    write_png(tmp_path / "set" / "images" / "c.bmp")
    write_png(tmp_path / "set" / "masks" / "c.png")
    items = load_datalist(tmp_path / "set")
    assert [item["id"] for item in items] == ["a", "b", "c"]
    assert items[2]["image"].endswith("images/c.bmp") and items[2]["label"].endswith("masks/c.png")
    assert {item["dataset"] for item in items} == {"set"}


def test_manifest_goes_before_folders(tmp_path):
    paired_folder(tmp_path)
    manifest_folder(tmp_path, 3)
    assert len(load_datalist(tmp_path)) == 3


def test_datasets_filter_keeps_only_the_named_sets(tmp_path):
    manifest_folder(tmp_path, 6, dataset=lambda i: "abc"[i % 3])
    assert Counter(item["dataset"] for item in load_datalist(tmp_path, ["a", "c"])) == {"a": 2, "c": 2}
    assert len(load_datalist(tmp_path, None)) == 6


def test_unknown_data_set_is_named_beside_those_there_are(tmp_path):
    manifest_folder(tmp_path, 2, dataset="ab".__getitem__)
    with pytest.raises(BundleError, match="'zz'.*a, b"):
        load_datalist(tmp_path, ["a", "zz"])


def test_list_images_goes_into_subfolders_and_skips_other_files(tmp_path):
    write_png(tmp_path / "a.png")
    write_png(tmp_path / "deep" / "er" / "b.png")
    (tmp_path / "deep" / "notes.txt").write_text("no image")
    assert list_images(tmp_path) == [
        {"image": str(tmp_path / "a.png"), "id": "a"},
        {"image": str(tmp_path / "deep" / "er" / "b.png"), "id": "deep/er/b"},
    ]


def test_list_images_does_not_take_masks_for_images(tmp_path):
    paired_folder(tmp_path, ("a",))
    assert [item["id"] for item in list_images(tmp_path)] == ["a"]


# Errors name the culprit


def test_missing_folder_is_named(tmp_path):
    for read in (load_datalist, list_images):
        with pytest.raises(BundleError, match="nowhere.*no such folder"):
            read(tmp_path / "nowhere")


def test_folder_of_no_known_layout_is_named(tmp_path):
    with pytest.raises(BundleError, match=f"{tmp_path.name}.*manifest.csv"):
        load_datalist(tmp_path)


def test_folder_without_images_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for read in (load_datalist, list_images):
        with pytest.raises(BundleError, match="images: no images"):
            read(tmp_path)


def test_missing_masks_folder_is_named(tmp_path):
    write_png(tmp_path / "images" / "a.png")
    with pytest.raises(BundleError, match="masks: no such folder"):
        load_datalist(tmp_path)


@pytest.mark.parametrize("kind", ["x/film1.png", "y/film1_mask.png"])
def test_file_that_the_manifest_lists_but_the_disk_lacks_is_named(tmp_path, kind):
    manifest_folder(tmp_path, 3)
    (tmp_path / kind).unlink()
    with pytest.raises(BundleError, match=f"{kind}: no such file"):
        load_datalist(tmp_path)


@pytest.mark.parametrize("kind", ["images/b.png", "masks/b.png"])
def test_unreadable_image_is_named(tmp_path, kind):
    paired_folder(tmp_path, ("a", "b"))
    (tmp_path / kind).write_bytes(b"this is no PNG")
    with pytest.raises(BundleError, match=f"{kind}: cannot be read"):
        load_datalist(tmp_path)


def test_image_without_mask_is_named(tmp_path):
    paired_folder(tmp_path, ("a", "b"))
    (tmp_path / "masks" / "b.png").unlink()
    with pytest.raises(BundleError, match="images/b.png: no mask"):
        load_datalist(tmp_path)


def test_mask_without_image_is_named(tmp_path):
    paired_folder(tmp_path, ("a", "b"))
    (tmp_path / "images" / "b.png").unlink()
    with pytest.raises(BundleError, match="masks/b.png: no image"):
        load_datalist(tmp_path)


def test_size_mismatch_names_both_files_and_sizes(tmp_path):
    paired_folder(tmp_path, ("a", "b"))
    write_png(tmp_path / "masks" / "b.png", width=5, height=4)
    with pytest.raises(BundleError, match=r"masks/b.png: mask is 5 x 4 .*images/b.png is 6 x 4"):
        load_datalist(tmp_path)


@pytest.mark.parametrize("column", ["image", "mask"])
def test_missing_manifest_column_is_named(tmp_path, column):
    write_manifest(tmp_path, [{name: "a.png" for name in ("image", "mask", "id") if name != column}])
    with pytest.raises(BundleError, match=f"manifest.csv: no column '{column}'"):
        load_datalist(tmp_path)


def test_empty_manifest_cell_is_named_by_line(tmp_path):
    manifest_folder(tmp_path, 1)
    with (tmp_path / "manifest.csv").open("a") as file:
        file.write("x/film0.png,\n")
    with pytest.raises(BundleError, match="manifest.csv, line 3"):
        load_datalist(tmp_path)


def test_manifest_without_rows_is_refused(tmp_path):
    (tmp_path / "manifest.csv").write_text("image,mask\n")
    with pytest.raises(BundleError, match="no images listed"):
        load_datalist(tmp_path)


def test_duplicate_id_is_named(tmp_path):
    manifest_folder(tmp_path, 3, id=lambda i: ["one", "two", "one"][i])
    with pytest.raises(BundleError, match="'one' stands more than once"):
        load_datalist(tmp_path)


def test_duplicate_stem_is_named(tmp_path):
    paired_folder(tmp_path, ("a",))
    write_png(tmp_path / "images" / "a.bmp")
    with pytest.raises(BundleError, match="images/a.png: same stem as .*a.bmp"):
        load_datalist(tmp_path)


def test_unknown_suffix_is_named(tmp_path):
    paired_folder(tmp_path, ("a",))
    (tmp_path / "images" / "report.pdf").write_text("")
    with pytest.raises(BundleError, match="report.pdf: unknown image suffix"):
        load_datalist(tmp_path)


def test_broken_json_is_named(tmp_path):
    (tmp_path / "datalist.json").write_text('{"training": [')
    with pytest.raises(BundleError, match="datalist.json: not valid JSON"):
        load_datalist(tmp_path)


def test_decathlon_entry_without_label_names_the_section(tmp_path):
    (tmp_path / "datalist.json").write_text(json.dumps({"training": [{"image": "a.png"}]}))
    with pytest.raises(BundleError, match="datalist.json.*'training'"):
        load_datalist(tmp_path)


def test_masks_that_an_earlier_run_wrote_into_the_folder_are_no_images(tmp_path):
    (tmp_path / "masks").mkdir()
    write_png(tmp_path / "film.png")
    write_png(tmp_path / "masks" / "film_mask.png")
    assert [item["id"] for item in list_images(tmp_path, exclude=tmp_path / "masks")] == ["film"]
    assert len(list_images(tmp_path, exclude=tmp_path)) == 2  # masks beside the images: nothing tells them apart


def test_films_whose_masks_would_have_one_name_are_refused(tmp_path):
    for name in ("a.png", "a.jpg"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    with pytest.raises(BundleError, match=r"a\.png: same name as .*a\.jpg"):
        list_images(tmp_path)


# Looking into every file


def test_files_are_checked_by_the_transform_and_the_first_fault_stops(tmp_path):
    for name in "abcd":
        write_png(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:44])
    items = [{"image": str(tmp_path / f"{name}.png")} for name in "abcd"]
    load = LoadRadiographd("image")
    check_files(items[:2], load, num_workers=2)
    for workers in (0, 2):
        with pytest.raises(BundleError, match="c.png"):
            check_files(items, load, workers)
