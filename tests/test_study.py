"""The comparison: its runs, its statistics and its tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigParser
from PIL import Image
from scipy import stats

from scripts.data import load_datalist
from scripts.errors import BundleError
from scripts.files import write_json
from scripts.study import (
    Study,
    bootstrap_interval,
    compare_structure,
    holm,
    noninferiority,
    outline_distances,
    paired_difference,
    similarity_map,
    write_ablations,
    write_structure,
    write_tables,
    write_worst,
)

ROOT = Path(__file__).parents[1]


# Statistics


def test_bootstrap_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for i in range(200):
        low, high = bootstrap_interval(rng.normal(0.9, 0.1, 40), level=0.9, seed=i)
        covered += low <= 0.9 <= high
    assert 0.83 <= covered / 200 <= 0.96


def test_bootstrap_interval_of_equal_figures_is_that_figure():
    assert bootstrap_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)
    with pytest.raises(ValueError, match="two images, got 1"):
        bootstrap_interval([0.5])


def test_noninferiority_is_two_one_sided_t_tests():
    differences = np.random.default_rng(1).normal(-0.001, 0.004, 60)
    found = noninferiority(differences, margin=0.005)
    t = (differences.mean() + 0.005) / (differences.std(ddof=1) / np.sqrt(60))
    upper = (differences.mean() - 0.005) / (differences.std(ddof=1) / np.sqrt(60))
    assert found["p_noninferior"] == pytest.approx(stats.t.sf(t, 59))
    assert found["p_equivalent"] == pytest.approx(max(stats.t.sf(t, 59), stats.t.cdf(upper, 59)))
    half = stats.t.ppf(0.95, 59) * differences.std(ddof=1) / np.sqrt(60)
    assert (found["low"], found["high"]) == pytest.approx((differences.mean() - half, differences.mean() + half))


def test_worse_by_more_than_the_margin_is_not_noninferior():
    differences = np.random.default_rng(1).normal(-0.02, 0.004, 60)
    found = noninferiority(differences, margin=0.005)
    assert found["p_noninferior"] > 0.99 and found["high"] < -0.005


def test_paired_difference_pairs_by_image():
    method = {f"i{i}": 0.9 + 0.01 * (i % 3) for i in range(12)}
    reference = {name: value - 0.001 * (i + 1) for i, (name, value) in enumerate(reversed(method.items()))}
    found = paired_difference(method, reference, margin=0.005)
    assert found["n"] == 12 and found["mean"] == pytest.approx(0.001 * 6.5)
    assert found["p_wilcoxon"] == pytest.approx(stats.wilcoxon([0.001 * (i + 1) for i in range(12)]).pvalue)
    assert paired_difference(method, {**method}, margin=0.005)["p_wilcoxon"] == 1.0


def test_methods_scored_on_different_images_are_not_compared():
    with pytest.raises(ValueError, match="b was scored by one only"):
        paired_difference({"a": 1.0, "b": 1.0}, {"a": 1.0}, margin=0.005)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


# Runs


def study(folder: Path, rows, **settings) -> Study:
    return Study(rows, [0], folder, ROOT, ROOT, **settings)


def test_finished_rows_are_not_run_again_and_commands_are_kept(tmp_path):
    rows = [{"name": "count", "title": "t", "train": {"run": "account", "files": ["train.yaml"], "set": {"rank": 4}}}]
    study(tmp_path, rows).run()
    record = json.loads((tmp_path / "count" / "seed_0" / "done.json").read_text())
    assert "run account --config_file \"['configs/train.yaml']\" --dataset_dir DATA" in record["commands"]["train"]
    assert "in 144 triplets" in (tmp_path / "count" / "seed_0" / "log.txt").read_text()
    written = (tmp_path / "count" / "seed_0" / "log.txt").stat().st_mtime_ns
    study(tmp_path, rows).run()  # done already
    assert (tmp_path / "count" / "seed_0" / "log.txt").stat().st_mtime_ns == written


def test_time_of_a_resumed_training_is_not_claimed(tmp_path):
    rows = [{"name": "count", "title": "t", "train": {"run": "account", "files": ["train.yaml"]}}]
    last = tmp_path / "count" / "seed_0" / "stage1" / "last.pt"
    last.parent.mkdir(parents=True)
    last.touch()
    study(tmp_path, rows).run()
    assert json.loads((tmp_path / "count" / "seed_0" / "done.json").read_text())["seconds"] == {}


def test_row_finished_with_another_command_is_not_taken_for_done(tmp_path):
    rows = [{"name": "count", "title": "t", "train": {"run": "account", "files": ["train.yaml"], "set": {"rank": 4}}}]
    study(tmp_path, rows).run()
    rows[0]["train"]["set"]["rank"] = 8
    with pytest.raises(
        BundleError, match=r"count/seed_0/done.json: .* other commands \(train: .*--rank 4; now .*--rank 8"
    ):
        study(tmp_path, rows).run()


def test_row_finished_from_other_weights_is_not_taken_for_done(tmp_path):
    rows = [{"name": "a", "title": "t"}, {"name": "b", "title": "t"}]
    rows[1]["train"] = {"run": "account", "files": ["train.yaml"], "set": {"stage1_weights": "{a}/w.pt"}}
    weights = tmp_path / "a" / "seed_0" / "w.pt"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"old")
    study(tmp_path, rows, only=["b"]).run()
    study(tmp_path, rows, only=["b"]).run()
    weights.write_bytes(b"new")
    with pytest.raises(BundleError, match="finished with other inputs .a/seed_0/w.pt"):
        study(tmp_path, rows, only=["b"]).run()


def test_row_that_fails_names_its_log_and_is_not_done(tmp_path):
    rows = [{"name": "bad", "title": "t", "train": {"run": "account", "files": ["train.yaml"], "set": {"rank": 0}}}]
    with pytest.raises(BundleError, match=r"seed_0/log.txt: train of the row bad ended with exit status 1"):
        study(tmp_path, rows).run()
    assert "rank must be at least 1" in (tmp_path / "bad" / "seed_0" / "log.txt").read_text()
    assert not (tmp_path / "bad" / "seed_0" / "done.json").exists()


def test_rows_find_their_own_and_each_others_folders(tmp_path):
    rows = [
        {"name": "a", "title": "t"},
        {
            "name": "b",
            "title": "t",
            "train": {"run": "stage2", "files": ["train.yaml"], "set": {"x": "{a}/w.pt", "y": "{row}/v.pt", "z": [1]}},
        },
    ]
    rows[1]["evaluate"] = {"run": "evaluating", "files": ["evaluate.yaml"]}
    settings = {
        "common": {"image_size": 64},
        "training": {"precision": "bfloat16"},
        "evaluation": {"split_record": "{row}/split.json"},
    }
    table = study(tmp_path, rows, **settings)
    scored = " ".join(table.command(rows[1], "evaluate", 2))
    assert f"--split_record {tmp_path}/b/seed_2/split.json" in scored and "--image_size 64" in scored
    assert "bfloat16" not in scored and "--seed" not in scored
    command = " ".join(table.command(rows[1], "train", 2))
    assert "--image_size 64" in command and "split_record" not in command
    assert f"--x {tmp_path}/a/seed_2/w.pt" in command and f"--y {tmp_path}/b/seed_2/v.pt" in command
    assert "--seed 2" in command and "--z [1]" in command and "--precision bfloat16" in command


@pytest.mark.parametrize(
    ("names", "only", "message"), [(["a", "a"], None, "'a' stands twice"), (["a"], ["b"], "'b' is unknown")]
)
def test_unclear_rows_are_refused(tmp_path, names, only, message):
    with pytest.raises(BundleError, match=message):
        study(tmp_path, [{"name": name, "title": "t"} for name in names], only=only)


@pytest.mark.parametrize("overlays", [[], ["ablations.yaml"]])
def test_every_row_runs_configs_and_ids_that_exist(overlays, tmp_path):
    """A misspelt override would be added to the config and change nothing."""
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / name) for name in ("study.yaml", *overlays)])
    parser.update({"output_dir": str(tmp_path), "dataset_dir": str(tmp_path), "bundle_root": str(ROOT)})
    table = parser.get_parsed_content("runner")
    names = set()
    for row in table.rows:
        for step in set(row) & {"train", "evaluate"}:
            content = ConfigParser()
            content.read_config([str(ROOT / "configs" / name) for name in row[step]["files"]])
            assert row[step]["run"] in content
            for key in {**table.settings[step], **row[step].get("set", {})}:
                # stage 2 and export read a split that scoring alone names in its own config
                assert key in content or step == "train", f"{row['name']}, {step}: {key}"
            names.add(row["name"])
    compared = parser.get_parsed_content("comparisons")
    assert {pair[side] for pair in compared for side in ("method", "reference")} <= names


# Tables


def write_run(folder: Path, figures: dict[str, float], findings: dict[str, str] | None = None) -> None:
    folder.mkdir(parents=True)
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "dataset", "finding", "dice", "iou", "nsd", "hd95", "assd"])
        for name, dice in figures.items():
            finding = (findings or {}).get(name, "")
            writer.writerow([name, "x", finding, dice, dice, dice, "nan" if name == "i0" else 2.0, 1.0])
    write_json(folder / "summary.json", {"network_seconds_per_image": 0.05})
    write_json(folder / "stage1" / "parameters.json", {"trainable_pruned": 1234})
    write_json(folder / "done.json", {"seconds": {"train": 90.0}})


def test_tables_average_seeds_by_image_and_say_what_is_missing(tmp_path):
    one, two = ({f"i{i}": base + 0.01 * i for i in range(8)} for base in (0.80, 0.84))
    write_run(tmp_path / "ours" / "seed_0", one)
    write_run(tmp_path / "ours" / "seed_1", two)
    write_run(tmp_path / "theirs" / "seed_0", one)
    (tmp_path / "ours" / "seed_0" / "stage1.pt").write_bytes(bytes(1_500_000))
    rows = [
        {"name": "ours", "title": "ours", "weights": ["stage1.pt"]},
        {"name": "theirs", "title": "theirs"},
        {"name": "absent", "title": "absent"},
    ]
    content = write_tables(rows, [{"method": "ours", "reference": "theirs"}], 0.005, tmp_path)
    dice = content["rows"][0]["metrics"]["dice"]
    assert dice["mean"] == pytest.approx(np.mean([(one[k] + two[k]) / 2 for k in one])) and dice["seeds"] == 2
    assert dice["seed_means"] == pytest.approx([np.mean(list(one.values())), np.mean(list(two.values()))])
    assert content["rows"][0]["metrics"]["hd95"]["undefined"] == ["i0"]
    text = (tmp_path / "study.md").read_text()
    assert "| ours | 2 | 8 |" in text and "| 1,234 | 1.5 | 50 | 1.5 |" in text and "Not run: absent." in text


def test_rows_are_compared_on_the_seeds_that_both_have(tmp_path):
    figures = {f"i{i}": 0.8 + 0.01 * i for i in range(8)}
    worse = {name: value - 0.1 for name, value in figures.items()}
    higher = {name: value + 0.001 * i for i, (name, value) in enumerate(figures.items())}
    for seed, values in enumerate([higher, worse]):
        write_run(tmp_path / "ours" / f"seed_{seed}", values)
    write_run(tmp_path / "theirs" / "seed_0", figures)
    rows = [{"name": name, "title": name} for name in ("ours", "theirs")]
    test = write_tables(rows, [{"method": "ours", "reference": "theirs"}], 0.005, tmp_path)["comparisons"][0]
    assert test["seeds"] == [0] and test["mean"] == pytest.approx(0.0035)


def test_subgroups_and_worst_images_by_hand(tmp_path):
    figures = {f"i{i}": 0.9 - 0.01 * i for i in range(12)}
    write_run(tmp_path / "ours" / "seed_0", figures, {name: "ab"[i % 2] for i, name in enumerate(figures)})
    row = write_tables([{"name": "ours", "title": "ours"}], [], 0.005, tmp_path)["rows"][0]
    assert [group["finding"] for group in row["subgroups"]] == ["a", "b"]
    assert row["subgroups"][0]["dice"]["mean"] == pytest.approx(np.mean([0.9 - 0.01 * i for i in range(0, 12, 2)]))
    assert [image["id"] for image in row["worst"]] == [f"i{i}" for i in range(11, 1, -1)]
    assert row["worst"][0]["finding"] == "b"


def test_one_image_has_no_spread(tmp_path):
    write_run(tmp_path / "ours" / "seed_0", {"i0": 0.9})
    row = write_tables([{"name": "ours", "title": "ours"}], [], 0.005, tmp_path)["rows"][0]
    assert row["metrics"]["dice"]["mean"] == 0.9 and row["metrics"]["dice"]["std"] is None
    assert row["metrics"]["hd95"]["mean"] is None and row["metrics"]["hd95"]["undefined"] == ["i0"]
    assert "0.9000 ± - (0.9000) [-, -]" in (tmp_path / "study.md").read_text()


def test_seeds_scored_on_different_images_are_refused(tmp_path):
    write_run(tmp_path / "ours" / "seed_0", {"i0": 0.9, "i1": 0.9})
    write_run(tmp_path / "ours" / "seed_1", {"i0": 0.9})
    with pytest.raises(BundleError, match="i1 was not scored with every seed"):
        write_tables([{"name": "ours", "title": "ours"}], [], 0.005, tmp_path)


def test_tables_of_nothing_are_refused(tmp_path):
    with pytest.raises(BundleError, match="no row of the study is finished"):
        write_tables([{"name": "a", "title": "a"}], [], 0.005, tmp_path)


# Structure


def disc(shift: int = 0, radius: int = 12) -> np.ndarray:
    rows, columns = np.mgrid[:64, :64]
    return (rows - 32) ** 2 + (columns - 32 - shift) ** 2 <= radius**2


def test_equal_masks_have_no_structural_difference():
    found = compare_structure([("a", disc(), disc())])
    assert found["mean_ssim"] == pytest.approx(1) and found["equal"] == 1
    assert found["distance"]["1.0"] == 0 and found["histogram"]["0"] == 1


def test_distances_between_outlines_of_squares_by_hand():
    first, second = np.zeros((2, 32, 32), bool)
    first[8:24, 8:24] = True
    second[8:24, 11:27] = True
    distances = outline_distances(first, second)
    assert len(distances) == 2 * 60 and distances.max() == 3
    # of each square 13 pixels of two sides lie on the other's, and the sides between are three apart
    assert (distances == 0).sum() == 2 * 26


def test_ssim_of_constant_patches_by_hand():
    first, second = np.zeros((2, 48, 48), bool)
    first[:, 24:] = second[:, 24:] = True
    second[:24, :24] = True
    # zeros against ones, far from any edge: (C1 / (1 + C1)) * 1 with C1 = 0.01 ** 2
    assert similarity_map(first, second)[8, 8] == pytest.approx(1e-4 / (1 + 1e-4))
    assert similarity_map(first, second)[40, 8] == pytest.approx(1)


def test_empty_masks_are_named_and_pairs_must_fit():
    found = compare_structure([("a", disc(), np.zeros((64, 64), bool)), ("b", disc(2), disc())])
    assert found["empty"] == ["a"] and found["lowest"] == "a" and found["n"] == 2
    assert 0 < found["distance"]["1.0"] <= 3
    with pytest.raises(ValueError, match="c: masks of shapes"):
        compare_structure([("c", disc(), disc()[:32])])
    with pytest.raises(ValueError, match="no images"):
        compare_structure([])


def save(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def test_pictures_of_two_rows(tmp_path):
    figures = {"i0": 0.9, "i1": 0.8}
    for i, name in enumerate(figures):
        save(tmp_path / "data" / "images" / f"{name}.png", disc(4 * i, 20))
        save(tmp_path / "data" / "masks" / f"{name}.png", disc(4 * i))
    dataset = load_datalist(tmp_path / "data")[0]["dataset"]
    for shift, row in enumerate(("ours", "theirs")):
        write_run(tmp_path / row / "seed_0", figures)
        text = (tmp_path / row / "seed_0" / "metrics.csv").read_text().replace(",x,", f",{dataset},")
        (tmp_path / row / "seed_0" / "metrics.csv").write_text(text)
        for i, name in enumerate(figures):
            save(tmp_path / row / "seed_0" / "masks" / f"{name}.png", disc(4 * i + shift))
    rows = [{"name": name, "title": name} for name in ("ours", "theirs", "absent")]
    write_worst(rows, tmp_path, tmp_path / "data")
    sheet = np.asarray(Image.open(tmp_path / "theirs" / "worst.png"))
    assert sheet.shape == (272, 512, 3)
    pairs = [["ours", "theirs"], ["ours", "absent"]]
    content = write_structure(pairs, tmp_path, tmp_path / "data", [dataset])
    assert list(content) == ["ours and theirs"] and content["ours and theirs"][dataset]["n"] == 2
    assert content["ours and theirs"][dataset]["distance"]["1.0"] == pytest.approx(1, abs=0.5)
    assert (tmp_path / "structure_ours_theirs.png").is_file()
    write_ablations([{"title": "t", "rows": {"a": "ours", "b": "theirs", "c": "absent"}}], tmp_path)
    assert (tmp_path / "ablations.png").is_file()
    (tmp_path / "theirs" / "seed_0" / "masks" / "i1.png").unlink()
    with pytest.raises(BundleError, match="masks/i1.png: missing"):
        write_structure(pairs, tmp_path, tmp_path / "data", [dataset])
