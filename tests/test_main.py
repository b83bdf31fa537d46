"""The short door: which run of monai.bundle a command becomes, and how it refuses and fails."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import fire
import pytest
from monai.bundle import ConfigParser

from scripts.__main__ import RUNS, main
from scripts.phantoms import write_phantoms

ROOT = Path(__file__).parents[1]


@pytest.fixture
def runs(monkeypatch) -> list[dict]:
    """What monai.bundle's run is called with, read by fire as on its own command line."""
    calls = []

    def note(run_id=None, config_file=None, **settings):
        calls.append({"run_id": run_id, "config_file": config_file, **settings})

    monkeypatch.setattr("monai.bundle.run", note)
    return calls


def refusal(capsys, *arguments: str) -> str:
    """The last line that a refused command prints."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_segment_becomes_a_run_of_inference(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["segment", "2024", "out", "--formats", "png,seg", "--resume", "--plausible", "False", "--backend=openvino"])
    assert runs == [
        {
            "run_id": "run",
            "config_file": [str(ROOT / "configs" / "inference.yaml")],
            "bundle_root": str(ROOT),
            "dataset_dir": str(tmp_path / "2024"),
            "output_dir": str(tmp_path / "out"),
            "formats": ["png", "seg"],
            "resume": True,
            "plausible": False,
            "backend": "openvino",
        }
    ]


@pytest.mark.parametrize("formats", ["png", "['png']"])
def test_one_format_is_a_list_too(runs, formats):
    main(["segment", "FOLDER", "OUT", "--formats", formats])
    assert runs[0]["formats"] == ["png"]


def test_settings_reach_the_config_as_with_monai_bundle(runs):
    """Words after the command's own arguments are read by the same fire that reads monai.bundle's."""
    words = ["--epochs", "3", "--base-weights", "2024.pt", "--fractions", "{'train': 0.5}", "--tracking", "mlflow"]
    words += ["--train::trainer::max_epochs=2"]
    main(["train", "DIR", *words])
    expected = {}
    fire.Fire(lambda **settings: expected.update(settings), command=words)
    assert expected.items() <= runs[0].items() and runs[0]["epochs"] == 3 and runs[0]["base_weights"] == "2024.pt"


def test_demo_trains_and_then_evaluates(runs):
    main(["demo", "--epochs", "1"])
    assert [run["run_id"] for run in runs] == ["training", "evaluating"]
    assert [[Path(file).name for file in run["config_file"]] for run in runs] == [
        ["train.yaml", "demo.yaml"],
        ["evaluate.yaml", "demo.yaml"],
    ]
    assert [run["epochs"] for run in runs] == [1, 1]


@pytest.mark.parametrize("item, names", [run for runs in RUNS.values() for run in runs])
def test_commands_name_what_the_configs_hold(item, names):
    config = ConfigParser.load_config_files([str(ROOT / "configs" / name) for name in names])
    assert item in config and "bundle_root" in config


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["segmnt", "FOLDER", "OUT"], "invalid choice: 'segmnt'"),
        ([], "required: COMMAND"),
        (["segment", "FOLDER"], "required: OUT"),
        (["train", "--epochs", "3", "DIR"], "folders come first"),
        (["train", "DIR", "--epoch", "3"], "no setting 'epoch' in train.yaml; did you mean --epochs?"),
        (["train", "DIR", "--epochs", "3", "4"], "unexpected '4'"),
        (["train", "DIR", "--epochs=3", "4"], "unexpected '4'"),
        (["segment", "FOLDER", "OUT", "MORE"], "unexpected 'MORE'"),
    ],
)
def test_what_is_not_understood_is_refused(runs, capsys, arguments, message):
    assert message in refusal(capsys, *arguments)
    assert runs == []


def test_segment_works_from_another_folder_and_fails_as_its_films_do(tmp_path):
    films = tmp_path / "films"
    write_phantoms(films, 1, size=96, seed=3)
    (films / "images" / "broken.png").write_text("no picture")
    result = subprocess.run(
        [sys.executable, "-m", "scripts", "segment", "films/images", "masks", "--formats", "png,overlay"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 1
    assert "error: 1 of 2 films failed" in result.stderr.splitlines()[-1]
    assert result.stdout.startswith("python -m monai.bundle run ")
    with (tmp_path / "masks" / "results.csv").open(newline="") as file:
        assert {row["file"]: row["status"] for row in csv.DictReader(file)} == {
            "broken.png": "failed",
            "phantom_00000.png": "done",
        }
    written = {path.name for path in (tmp_path / "masks").iterdir()}
    assert written == {"phantom_00000_mask.png", "phantom_00000_overlay.png", "results.csv"}
