"""The split by patient, its record, and the data of a host in its place."""

import json
from collections import defaultdict

import pytest
from data_folders import manifest_folder, write_png

from scripts.data import Split, check_split, load_datalist, parts_in_use, select, split_by_patient, split_ids
from scripts.errors import BundleError

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def patients(sizes, dataset="a", **extra):
    """Items of patients with the given numbers of images."""
    return [
        {"id": f"{dataset}{p}_{i}", "dataset": dataset, "patient": f"{dataset}{p}", **extra}
        for p, size in enumerate(sizes)
        for i in range(size)
    ]


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
    with pytest.raises(BundleError, match=f"stage 1 held back {leaked[0]}.*{len(leaked)} images"):
        check_split(other, record)
    added = {**first, "train": [*first["train"], *patients([1, 1], "b")]}
    with pytest.raises(BundleError, match="stage 1 did not have b0_0, but it would be trained on now .2 images"):
        check_split(added, record)


@pytest.mark.parametrize("content", ["{", "[1]", '{"train": 3}'])
def test_record_that_holds_no_split_is_refused_by_name(tmp_path, content):
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(BundleError, match="split.json"):
        select(patients([1] * 4), "test", tmp_path / "split.json")


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
