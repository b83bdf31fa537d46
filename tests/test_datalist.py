"""Data lists: the three layouts, their errors, and the split by patient."""

import csv
import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image

from scripts.data import (
    LoadRadiographd,
    Split,
    check_files,
    check_split,
    list_images,
    load_datalist,
    parts_in_use,
    select,
    split_by_patient,
    split_ids,
)
from scripts.errors import BundleError

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def write_png(path, width=6, height=4, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width), value, dtype=np.uint8)).save(path)
    return path


def write_manifest(root, rows, encoding="utf-8"):
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with (root / "manifest.csv").open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def manifest_folder(root, count=4, **columns):
    """`count` pairs listed in a manifest; `columns` map a name to a function of the index."""
    rows = []
    for i in range(count):
        write_png(root / "x" / f"film{i}.png")
        write_png(root / "y" / f"film{i}_mask.png")
        row = {"image": f"x/film{i}.png", "mask": f"y/film{i}_mask.png"}
        rows.append(row | {name: value(i) for name, value in columns.items()})
    write_manifest(root, rows)
    return root


def paired_folder(root, stems=("a", "b")):
    for stem in stems:
        write_png(root / "images" / f"{stem}.png")
        write_png(root / "masks" / f"{stem}.png")
    return root


def decathlon_folder(root, sections):
    """`sections` maps a section to stems."""
    content = {}
    for section, stems in sections.items():
        content[section] = [{"image": f"img/{stem}.png", "label": f"lab/{stem}.png"} for stem in stems]
        for stem in stems:
            write_png(root / "img" / f"{stem}.png")
            write_png(root / "lab" / f"{stem}.png")
    (root / "datalist.json").write_text(json.dumps(content))
    return content


def patients(sizes, dataset="a", **extra):
    """Items of patients with the given numbers of images."""
    return [
        {"id": f"{dataset}{p}_{i}", "dataset": dataset, "patient": f"{dataset}{p}", **extra}
        for p, size in enumerate(sizes)
        for i in range(size)
    ]


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
    parts = split_by_patient(load_datalist(tmp_path), FRACTIONS)
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


# The split


def test_no_patient_stands_in_two_parts():
    items = patients([1, 2, 3, 4, 5] * 12)
    for seed in range(10):
        parts = split_by_patient(items, FRACTIONS, seed)
        where = defaultdict(set)
        for part, members in parts.items():
            for item in members:
                where[item["patient"]].add(part)
        assert all(len(found) == 1 for found in where.values())
        assert sorted(item["id"] for members in parts.values() for item in members) == sorted(i["id"] for i in items)


def test_each_data_set_is_split_in_the_wanted_shares():
    items = patients([1, 2, 3, 4] * 25, "big") + patients([1, 2] * 20, "small")
    parts = split_by_patient(items, FRACTIONS, seed=3)
    for dataset, largest in (("big", 4), ("small", 2)):
        total = sum(item["dataset"] == dataset for item in items)
        for part, share in FRACTIONS.items():
            count = sum(item["dataset"] == dataset for item in parts[part])
            # whole patients cannot be cut: two parts may each be off by a patient
            assert abs(count - share * total) <= 2 * largest


def test_split_depends_on_the_seed_alone():
    items = patients([2] * 40)

    def ids(items, seed):
        return {part: {i["id"] for i in members} for part, members in split_by_patient(items, FRACTIONS, seed).items()}

    assert ids(items, 1) == ids(items, 1) == ids(items[::-1], 1)
    assert ids(items, 1) != ids(items, 2)


def test_adding_a_data_set_leaves_the_split_of_another_alone():
    first, second = patients([1] * 30, "a"), patients([1] * 30, "b")
    alone = split_by_patient(first, FRACTIONS)
    both = split_by_patient(first + second, FRACTIONS)
    for part in FRACTIONS:
        assert {i["id"] for i in alone[part]} == {i["id"] for i in both[part] if i["dataset"] == "a"}


def test_fixed_parts_are_kept():
    fixed = patients([2] * 5, "a", part="test")
    parts = split_by_patient(fixed + patients([2] * 20, "b"), FRACTIONS)
    assert {item["id"] for item in fixed} <= {item["id"] for item in parts["test"]}


def test_free_image_of_a_patient_with_a_fixed_part_follows_the_patient():
    items = patients([1] * 20)
    for index in range(4):
        items.append({"id": f"fixed{index}", "dataset": "a", "patient": f"a{index}", "part": "validation"})
    for seed in range(5):
        parts = split_by_patient(items, FRACTIONS, seed)
        assert {f"a{index}_0" for index in range(4)} <= {item["id"] for item in parts["validation"]}


def test_patient_fixed_in_two_parts_is_refused_by_name():
    items = patients([1] * 4)
    items += [{"id": f"y{p}", "dataset": "a", "patient": "twice", "part": p} for p in ("train", "test")]
    with pytest.raises(BundleError, match=r"'twice' stands in train \(ytrain\) and in test \(ytest\)"):
        split_by_patient(items, FRACTIONS)


def test_unknown_part_is_refused_by_name():
    with pytest.raises(BundleError, match="odd.*'holdout'"):
        split_by_patient([{"id": "odd", "dataset": "a", "patient": "p", "part": "holdout"}], FRACTIONS)


@pytest.mark.parametrize(
    "fractions",
    [
        {"train": 0.7, "validation": 0.2},
        {"train": 1.2, "validation": -0.2},
        {"train": 0.5, "holdout": 0.5},
        {"train": 0.8, "validation": 0.2, "test": 0.2},
        {},
    ],
)
def test_fractions_that_do_not_fit_are_refused(fractions):
    with pytest.raises(BundleError, match="split fractions must name train, validation, test"):
        split_by_patient(patients([1] * 20), fractions)


def test_too_few_images_for_every_part_are_refused():
    with pytest.raises(BundleError, match="part is empty"):
        split_by_patient(patients([1, 1]), FRACTIONS)


def test_part_with_share_zero_stays_empty():
    parts = split_by_patient(patients([3] * 10), {"train": 0.8, "validation": 0.2, "test": 0.0})
    assert parts["test"] == [] and len(parts["train"]) + len(parts["validation"]) == 30


# The record


def test_recorded_split_is_what_select_returns(tmp_path):
    items = patients([1, 2, 3] * 8)
    record = tmp_path / "split.json"
    parts = split_by_patient(items, FRACTIONS, seed=5)
    record.write_text(json.dumps(split_ids(parts)))
    for part in FRACTIONS:
        chosen = select(items, part, record)
        assert {item["id"] for item in chosen} == {item["id"] for item in parts[part]}
        assert {item["part"] for item in chosen} == {part}


def test_images_outside_the_recorded_split_are_unseen(tmp_path):
    record = tmp_path / "split.json"
    record.write_text(json.dumps(split_ids(split_by_patient(patients([1] * 20, "a"), FRACTIONS))))
    items = patients([1] * 20, "a") + patients([1] * 3, "b")
    assert {item["id"] for item in select(items, "unseen", record)} == {"b0_0", "b1_0", "b2_0"}
    assert len(select(items, None, record)) == 23


def test_without_a_record_everything_is_unseen(tmp_path):
    items = patients([1] * 4, part="train")
    assert {item["part"] for item in select(items, record=tmp_path / "absent.json")} == {"unseen"}
    with pytest.raises(BundleError, match=r"'test'.*unseen"):
        select(items, "test")


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


def test_resumed_run_keeps_its_split_and_refuses_other_data(tmp_path):
    items = [{"id": str(i), "dataset": "x", "patient": str(i)} for i in range(20)]
    fractions = {"train": 0.6, "validation": 0.2, "test": 0.2}
    record = tmp_path / "split.json"
    first = split_by_patient(items, fractions, seed=1, record=record)
    record.write_text(json.dumps(split_ids(first)))
    again = split_by_patient(items, fractions, seed=2, record=record)
    assert split_ids(again) == split_ids(first)  # in the same order, which decides what a resumed run draws
    for other in (items[:-1], [*items, {"id": "new", "dataset": "x", "patient": "new"}]):
        with pytest.raises(BundleError, match="split.json"):
            split_by_patient(other, fractions, record=record)


def test_stage2_alone_may_not_train_on_what_stage1_held_back(tmp_path, caplog):
    items = patients([1] * 30)
    first, other = (split_by_patient(items, FRACTIONS, seed=seed) for seed in (1, 2))
    record = tmp_path / "split.json"
    check_split(first, record)
    assert "cannot be compared" in caplog.text
    record.write_text(json.dumps(split_ids(first)))
    check_split(first, record)
    held_back = {item["id"] for part in ("validation", "test") for item in first[part]}
    leaked = [item["id"] for item in other["train"] if item["id"] in held_back]
    assert leaked
    with pytest.raises(BundleError, match=f"{leaked[0]} back.*{len(leaked)} images"):
        check_split(other, record)


@pytest.mark.parametrize("content", ["{", "[1]", '{"train": 3}'])
def test_record_that_holds_no_split_is_refused_by_name(tmp_path, content):
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(BundleError, match="split.json"):
        select(patients([1] * 4), "test", tmp_path / "split.json")


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


# Data that a host brings


def test_a_split_reads_nothing_until_asked(tmp_path):
    split = Split(tmp_path / "missing", FRACTIONS)
    assert split.parts is None
    with pytest.raises(BundleError, match="missing: no such folder"):
        split["train"]
    root = manifest_folder(tmp_path, 20)
    assert dict(Split(root, FRACTIONS)) == split_by_patient(load_datalist(root), FRACTIONS)


def hosted(root, name):
    return {"image": str(write_png(root / f"{name}.png")), "label": str(write_png(root / "labels" / f"{name}.png"))}


def test_the_images_of_a_host_take_the_place_of_the_splits(tmp_path):
    train, validation = [hosted(tmp_path, "a"), hosted(tmp_path, "b")], [hosted(tmp_path, "c")]
    parts = parts_in_use(Split(tmp_path / "missing", FRACTIONS), train, validation)
    assert split_ids(parts) == {"train": ["a", "b"], "validation": ["c"], "test": []}
    (tmp_path / "own").mkdir()
    own = Split(manifest_folder(tmp_path / "own", 20), FRACTIONS)
    assert parts_in_use(own, own["train"], own["validation"]) == dict(own)


def test_a_hosts_faults_are_named(tmp_path):
    split = Split(tmp_path / "missing", FRACTIONS)
    train, other = [hosted(tmp_path, "a")], [hosted(tmp_path, "b")]
    with pytest.raises(BundleError, match="validation part is empty"):
        parts_in_use(split, train, [])
    with pytest.raises(BundleError, match="a: stands in train and in validation"):
        parts_in_use(split, train, train)
    write_png(tmp_path / "labels" / "b.png", width=7)
    with pytest.raises(BundleError, match="mask is 7 x 4 pixels but its image"):
        parts_in_use(split, train, other)


# Groups across data sets


def grouped(items, **groups):
    """Items with the group of their patient; a patient that is not named is its own."""
    return [dict(item, group=groups.get(item["patient"], item["patient"])) for item in items]


def test_group_across_data_sets_stands_in_one_part():
    items = grouped(patients([1] * 30, "a") + patients([1] * 30, "b"), **{f"b{i}": f"a{i}" for i in range(10)})
    for seed in range(20):
        part_of = {}
        for part, members in split_by_patient(items, FRACTIONS, seed).items():
            for item in members:
                assert part_of.setdefault(item["group"], part) == part


def test_groups_of_single_patients_leave_the_split_as_it_was():
    items = patients([2] * 30, "a") + patients([1] * 30, "b")
    plain, with_groups = (split_ids(split_by_patient(list_, FRACTIONS, 3)) for list_ in (items, grouped(items)))
    assert plain == with_groups


def test_group_fixed_in_two_parts_is_refused_by_both_images():
    items = grouped(patients([1], "a", part="train") + patients([1], "b", part="test"), b0="a0")
    with pytest.raises(BundleError, match=r"group 'a0' stands in train \(a0_0\) and in test \(b0_0\)"):
        split_by_patient(items, FRACTIONS)


def test_free_image_of_a_group_with_a_fixed_part_follows_it():
    items = grouped(patients([1], "a", part="test") + patients([1] * 30, "b"), b7="a0")
    for seed in range(10):
        assert {"a0_0", "b7_0"} <= {item["id"] for item in split_by_patient(items, FRACTIONS, seed)["test"]}


def test_image_of_a_recorded_group_is_not_unseen(tmp_path):
    items = grouped(patients([1, 1], "a") + patients([1, 1], "b"), b0="a0")
    (tmp_path / "split.json").write_text(json.dumps({"train": ["a0_0"], "validation": [], "test": []}))
    assert [item["id"] for item in select(items, "unseen", tmp_path / "split.json")] == ["a1_0", "b1_0"]
    assert [item["id"] for item in select(items, "train", tmp_path / "split.json")] == ["a0_0", "b0_0"]
