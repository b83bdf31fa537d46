"""The comparison: its runs, its statistics and its tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from scripts.errors import BundleError
from scripts.study import Study, bootstrap_interval, holm, noninferiority, paired_difference, write_tables

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
    assert "run account --config_file ['configs/train.yaml']" in record["commands"]["train"]
    assert "in 144 triplets" in (tmp_path / "count" / "seed_0" / "log.txt").read_text()
    rows[0]["train"]["run"] = "not_there"
    study(tmp_path, rows).run()  # done already


def test_row_that_fails_names_its_log_and_is_not_done(tmp_path):
    rows = [{"name": "bad", "title": "t", "train": {"run": "account", "files": ["train.yaml"], "set": {"rank": 0}}}]
    with pytest.raises(BundleError, match=r"seed_0/log.txt: train of the row bad ended with exit status 1"):
        study(tmp_path, rows).run()
    assert "adapter rank must be at least 1" in (tmp_path / "bad" / "seed_0" / "log.txt").read_text()
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
    command = " ".join(study(tmp_path, rows, common={"precision": "bfloat16"}).command(rows[1], "train", 2))
    assert f"--x {tmp_path}/a/seed_2/w.pt" in command and f"--y {tmp_path}/b/seed_2/v.pt" in command
    assert "--seed 2" in command and "--z [1]" in command and "--precision bfloat16" in command


@pytest.mark.parametrize(
    ("names", "only", "message"), [(["a", "a"], None, "'a' stands twice"), (["a"], ["b"], "'b' is unknown")]
)
def test_unclear_rows_are_refused(tmp_path, names, only, message):
    with pytest.raises(BundleError, match=message):
        study(tmp_path, [{"name": name, "title": "t"} for name in names], only=only)


# Tables


def write_run(folder: Path, figures: dict[str, float]) -> None:
    folder.mkdir(parents=True)
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "dataset", "dice", "iou", "nsd", "hd95", "assd"])
        writer.writerows(
            [name, "x", dice, dice, dice, "nan" if name == "i0" else 2.0, 1.0] for name, dice in figures.items()
        )
    (folder / "done.json").write_text("{}")


def test_tables_average_seeds_by_image_and_say_what_is_missing(tmp_path):
    one, two = ({f"i{i}": base + 0.01 * i for i in range(8)} for base in (0.80, 0.84))
    write_run(tmp_path / "ours" / "seed_0", one)
    write_run(tmp_path / "ours" / "seed_1", two)
    write_run(tmp_path / "theirs" / "seed_0", one)
    (tmp_path / "ours" / "seed_0" / "stage1.pt").write_bytes(bytes(1_500_000))
    rows = [
        {"name": "ours", "title": "ours", "weights": "stage1.pt"},
        {"name": "theirs", "title": "theirs"},
        {"name": "absent", "title": "absent"},
    ]
    content = write_tables(rows, [{"method": "ours", "reference": "theirs"}], 0.005, tmp_path)
    dice = content["rows"][0]["metrics"]["dice"]
    assert dice["mean"] == pytest.approx(np.mean([(one[k] + two[k]) / 2 for k in one])) and dice["seeds"] == 2
    assert dice["seed_means"] == pytest.approx([np.mean(list(one.values())), np.mean(list(two.values()))])
    assert content["rows"][0]["metrics"]["hd95"]["undefined"] == ["i0"]
    assert content["comparisons"][0]["mean"] == pytest.approx(0.02)
    text = (tmp_path / "study.md").read_text()
    assert "| ours | 2 | 8 |" in text and "| 1.5 |" in text and "Not run: absent." in text


def test_tables_of_nothing_are_refused(tmp_path):
    with pytest.raises(BundleError, match="no row of the study is finished"):
        write_tables([{"name": "a", "title": "a"}], [], 0.005, tmp_path)
