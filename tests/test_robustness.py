"""The command that measures what the form of a film costs, and the property that it measures."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from real_writers import WRITERS, missing, real_forms

from scripts.errors import BundleError
from scripts.robustness import FORMS, choose_films, score, segment, write
from scripts.robustness.scoring import dice
from scripts.robustness.tables import markdown, summarize
from scripts.robustness.writing import COLUMNS, PLACES, spread

ROOT = Path(__file__).parents[1]
IDENTITY = dict(zip(PLACES, ("1", "0", "0", "0", "1", "0")))
# A phantom that the shipped network knows well: what is lost is lost by the form
PHANTOM = 5_000_007


def square(top: int, left: int, side: int = 10, size: int = 40) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def save(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def table(path: Path, columns: tuple[str, ...], rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def scored(tmp_path) -> dict[str, dict]:
    """One film in four forms: found by half, refused, of another size, and mirrored."""
    size = 40
    truths = {"plain": square(10, 10), "half": square(10, 10), "refused": square(10, 10), "size": square(10, 10)}
    truths["mirrored"] = truths["plain"][:, ::-1]
    answers = {"plain": square(10, 10), "half": square(10, 15), "size": square(10, 10, size=30)}
    answers["mirrored"] = answers["plain"][:, ::-1]
    rows = []
    for form, truth in truths.items():
        save(tmp_path / "truth" / form / "a.png", truth)
        if form in answers:
            save(tmp_path / "masks" / form / "a_mask.png", answers[form])
        places = dict(IDENTITY, column_per_column="-1", column_offset=str(size - 1)) if form == "mirrored" else IDENTITY
        kind = {"form": form, "group": "plain" if form == "plain" else "values", "described": form != "half"}
        rows.append({"id": "a", "dataset": "d", **kind, "file": f"{form}/a.png", "truth": f"{form}/a.png", **places})
    table(tmp_path / "forms.csv", COLUMNS, rows)
    told = [
        {"file": f"{form}/a.png", "status": "done", "flags": "one_lung;low_confidence"} for form in ("half", "size")
    ]
    told.append({"file": "refused/a.png", "status": "failed", "message": "cannot be read"})
    table(tmp_path / "masks" / "results.csv", ("file", "status", "flags", "message"), told)
    summary = score(tmp_path)
    with (tmp_path / "robustness.csv").open(newline="") as file:
        found = {row["form"]: row for row in csv.DictReader(file)}
    return {"rows": found, "summary": summary, "folder": tmp_path}


def test_lost_is_dice_of_the_plain_film_less_that_of_the_form(scored):
    rows = scored["rows"]
    # Half of a square of 100 pixels is met: 2 * 50 / 200
    assert float(rows["half"]["dice"]) == 0.5 and float(rows["half"]["lost"]) == 0.5
    assert float(rows["mirrored"]["lost"]) == 0 and float(rows["mirrored"]["agreement"]) == 1
    assert float(rows["half"]["agreement"]) == 0.5


def test_film_without_a_mask_of_its_own_size_has_lost_everything_and_counts_as_refused(scored):
    rows, forms = scored["rows"], scored["summary"]["forms"]
    assert float(rows["refused"]["lost"]) == 1 and rows["refused"]["message"] == "cannot be read"
    assert rows["size"]["status"] == "shape (30, 30)" and float(rows["size"]["dice"]) == 0
    assert [forms[name]["refused"] for name in ("half", "refused", "size", "mirrored")] == [0, 1, 1, 0]


def test_summary_has_means_worst_films_and_flags(scored):
    summary = scored["summary"]
    assert summary["films"] == 1 and summary["dice_plain"] == 1
    assert summary["groups"]["values"]["lost_mean"] == pytest.approx((0.5 + 1 + 1 + 0) / 4)
    assert summary["kinds"]["described"]["lost_mean"] == pytest.approx(2 / 3)
    assert summary["kinds"]["looking"]["lost_worst"] == 0.5
    assert summary["forms"]["half"]["flags"] == {"one_lung": 1, "low_confidence": 1}
    assert json.loads((scored["folder"] / "robustness.json").read_text()) == summary
    lines = (scored["folder"] / "robustness.md").read_text().splitlines()
    assert "| half | 1 | 0.5000 | 0.5000 | 0.5000 | 0 | 1 | one_lung 1, low_confidence 1 |" in lines


def test_mean_is_over_films_and_worst_is_named():
    base = {"form": "f", "group": "pose", "described": True, "detail": "", "dice_plain": 0.9, "agreement": 1.0}
    rows = [dict(base, id=name, lost=lost, status="done", flags="") for name, lost in (("a", 0.1), ("b", 0.3))]
    plain = [dict(row, form="plain", group="plain", lost=0.0) for row in rows]
    figures = summarize([*plain, *rows])["forms"]["f"]
    assert figures["lost_mean"] == pytest.approx(0.2) and (figures["lost_worst"], figures["worst_film"]) == (0.3, "b")
    assert "| f | 2 | 0.2000 | 0.3000 |" in markdown(summarize([*plain, *rows]))


def test_two_empty_masks_agree():
    assert dice(square(0, 0) & False, square(0, 0) & False) == 1 and dice(square(0, 0), square(0, 0) & False) == 0


def test_films_are_spread_over_data_sets():
    items = [
        {"id": f"{name}{i}", "dataset": name} for name, count in (("a", 40), ("b", 9), ("c", 2)) for i in range(count)
    ]
    chosen = spread(items, 12)
    counts = [sum(item["dataset"] == name for item in chosen) for name in "abc"]
    assert counts == [5, 5, 2] and len({item["id"] for item in chosen}) == 12
    assert chosen == spread(items, 12) and [i["id"] for i in chosen if i["dataset"] == "a"] == [
        "a0",
        "a8",
        "a16",
        "a24",
        "a32",
    ]
    assert len(spread(items, 100)) == 51


def test_without_a_data_set_phantoms_are_drawn(tmp_path):
    items = choose_films(None, tmp_path, 2, part="test", seed=PHANTOM)
    assert len(items) == 2 and all(Path(item["image"]).is_relative_to(tmp_path) for item in items)


def test_folder_of_other_films_is_not_mixed_with_these(tmp_path):
    items = choose_films(None, tmp_path, 2, seed=PHANTOM)
    write(items, tmp_path, ["mirrored"])
    write(items, tmp_path, ["mirrored"])
    with pytest.raises(BundleError, match="is of another run; name an empty folder"):
        write(items[:1], tmp_path, ["mirrored"])


def test_forms_must_be_written_and_segmented_before_they_are_scored(tmp_path):
    with pytest.raises(BundleError, match="holds no forms.csv; write the forms first"):
        segment(tmp_path, ROOT)
    write(choose_films(None, tmp_path, 1, seed=PHANTOM), tmp_path, ["mirrored"])
    table(tmp_path / "masks" / "results.csv", ("file", "status", "flags", "message"), [])
    with pytest.raises(BundleError, match="no mask of the plain film phantom_00000; segment the forms first"):
        score(tmp_path)


def test_command_that_ends_early_is_an_error_with_its_last_line(tmp_path):
    write(choose_films(None, tmp_path, 1, seed=PHANTOM), tmp_path, ["mirrored"])
    with pytest.raises(BundleError, match="0 of 2 films were segmented: error: .*nothing_like_it"):
        segment(tmp_path, ROOT, {"nothing_like_it": 3})


def test_command_writes_segments_and_scores_from_another_folder(tmp_path):
    settings = {
        "config_file": ROOT / "configs" / "robustness.yaml",
        "bundle_root": ROOT,
        "output_dir": tmp_path / "out",
    }
    chosen = {"films": 1, "forms": "['monochrome1','tiff_16']", "phantom_seed": PHANTOM}
    words = [f"--{name}={value}" for name, value in {**settings, **chosen}.items()]
    command = [sys.executable, "-m", "monai.bundle", "run", "robustness", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "forms: segmenting 3/3 [####################]" in done.stdout
    summary = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert list(summary["forms"]) == ["plain", "tiff_16", "monochrome1"]
    assert summary["dice_plain"] > 0.95 and summary["groups"]["values"]["lost_worst"] < 0.003
    again = subprocess.run([*command[:4], "score", *words], cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 0 and json.loads((tmp_path / "out" / "robustness.json").read_text()) == summary


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> dict:
    """All forms of one phantom, those of real writers among them, segmented once."""
    folder = tmp_path_factory.mktemp("forms")
    items = choose_films(None, folder, 1, seed=PHANTOM)
    with pytest.MonkeyPatch.context() as patch:
        for form in real_forms():
            patch.setitem(FORMS, form.name, form)
        write(items, folder)
    segment(folder, ROOT, {"backend": "onnxruntime"})
    return score(folder)


readers = pytest.mark.skipif(
    importlib.util.find_spec("scripts.films") is None, reason="the readers of this version do not know these forms"
)


def worst(summary: dict, names: list[str]) -> list[str]:
    """The forms that lose most, for the message of a failure."""
    forms = sorted(names, key=lambda name: -summary["forms"][name]["lost_mean"])[:8]
    return [
        f"{name} {summary['forms'][name]['lost_mean']:.3f} ({summary['forms'][name]['worst_detail']})" for name in forms
    ]


@readers
def test_mask_of_a_form_that_the_file_describes_is_that_of_the_plain_film_in_its_frame(everything):
    names = [name for name, form in FORMS.items() if form.described and name != "plain"]
    means = {name: everything["forms"][name]["lost_mean"] for name in names}
    assert np.mean(list(means.values())) <= 0.003, worst(everything, names)
    assert max(everything["forms"][name]["lost_worst"] for name in names) <= 0.02, worst(everything, names)
    assert not any(everything["forms"][name]["refused"] for name in names)
    assert min(everything["forms"][name]["agreement"] for name in names) >= 0.98


@readers
def test_mask_of_a_form_that_only_looking_can_tell_is_that_of_the_plain_film_in_its_frame(everything):
    names = [name for name, form in FORMS.items() if not form.described]
    assert np.mean([everything["forms"][name]["lost_mean"] for name in names]) <= 0.01, worst(everything, names)


@readers
@pytest.mark.parametrize("name", WRITERS)
def test_file_of_a_real_writer_has_the_mask_of_the_plain_film(everything, name):
    if missing(name):
        pytest.skip(f"not installed: {', '.join(missing(name))}")
    described = WRITERS[name][1]
    assert everything["forms"][name]["lost_worst"] <= (0.02 if described else 0.03), everything["forms"][name]
