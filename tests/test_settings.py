"""What is typed is compared with the configs, and nothing that the bundle itself types is refused."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
import yaml
from docs_check import read_commands
from monai.bundle import ConfigParser

from scripts import settings
from scripts.errors import BundleError
from scripts.settings import as_monai_reads, check_settings, check_value

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "/site-packages/monai/bundle/__main__.py"
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
WITH_INITIALIZE = [path for path in CONFIGS if "initialize" in yaml.safe_load(path.read_text())]


def typed(monkeypatch, *words: str) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [PROGRAM, *words])
    settings.check_command()


@pytest.mark.parametrize("path", WITH_INITIALIZE, ids=lambda path: path.name)
def test_every_config_checks_what_is_typed_first(path):
    items = yaml.safe_load(path.read_text())["initialize"]
    targets = [item["_target_"] for item in items if isinstance(item, dict)]
    assert targets[:2] == ["scripts.errors.report_in_one_line", "scripts.settings.check_command"]


def commands_of_the_pages() -> list[str]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    commands = [command.text for page in pages for command in read_commands(page.read_text(), page.name)]
    return [text.replace("\\\n", " ") for text in commands if "monai.bundle run " in text.replace("\\\n", " ")]


@pytest.mark.parametrize("text", commands_of_the_pages())
def test_commands_of_the_pages_pass(text, monkeypatch):
    words = shlex.split(text)
    typed(monkeypatch, *words[words.index("monai.bundle") + 1 :])


def test_there_are_commands_on_the_pages():
    assert len(commands_of_the_pages()) > 20


@pytest.mark.parametrize("overlays", [[], ["ablations.yaml"]], ids=["study", "ablations"])
def test_commands_that_a_study_types_pass(tmp_path, monkeypatch, overlays):
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / name) for name in ["study.yaml", *overlays]])
    parser.update({"output_dir": str(tmp_path), "dataset_dir": str(tmp_path), "bundle_root": str(ROOT)})
    runner = parser.get_parsed_content("runner")
    rows = [(row, step) for row in parser.get("rows") for step in ("train", "evaluate") if step in row]
    assert len(rows) > 5
    for row, step in rows:
        typed(monkeypatch, *runner.command(row, step, 0)[2:])


def test_what_monai_label_hands_over_is_not_looked_at(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["monailabel", "start_server", "--app", "x", "--epoch", "3"])
    settings.check_command()


def test_settings_of_a_file_of_arguments_are_looked_at(tmp_path, monkeypatch):
    arguments = tmp_path / "arguments.yaml"
    arguments.write_text("config_file: configs/train.yaml\nepoch: 3\n")
    with pytest.raises(BundleError, match="no setting 'epoch' in train.yaml; did you mean --epochs"):
        typed(monkeypatch, "run", "training", "--args_file", str(arguments))


def test_words_are_read_as_fire_reads_them_for_monai():
    read = as_monai_reads(["training", "--config_file", "['a','b']", "--epochs=3", "--train#x#y", "nan", "--resume"])
    assert read == {"run_id": "training", "config_file": ["a", "b"], "epochs": 3, "train#x#y": "nan", "resume": True}


def test_nested_settings_and_those_of_tracking_pass():
    train = [ROOT / "configs" / "train.yaml"]
    check_settings({"train#trainer#max_epochs": 3, "tracking": "mlflow", "experiment_name": "a"}, train)
    with pytest.raises(BundleError, match="no setting 'experiment_name'"):
        check_settings({"experiment_name": "a"}, train)


@pytest.mark.parametrize(
    ("key", "value", "default"),
    [
        ("epochs", "$2 * 3", 30),
        ("epochs", "@rank", 30),
        ("gamma", 1, 0.003),
        ("datasets", ["a"], None),
        ("patience", None, 8),
        ("window_size", 4, None),
        ("device", "cpu", "$torch.device('cuda')"),
        ("fractions", {"train": 1.0}, {"train": 0.7}),
        ("carried", ("a", "b"), ["finding"]),
        ("output_dir", "./2024", "$@bundle_root + '/eval'"),
    ],
)
def test_values_of_the_configs_kind_pass(key, value, default):
    check_value(key, value, default)


def test_least_values_belong_to_settings_that_there_are():
    known = {settings.top_level(key) for path in CONFIGS for key in yaml.safe_load(path.read_text())}
    assert set(settings.LEAST) | set(settings.MAY_BE_NULL) | set(settings.LISTS) <= known
    for path in CONFIGS:
        for key, value in yaml.safe_load(path.read_text()).items():
            if key in settings.LEAST and isinstance(value, (int, float)):
                assert value >= settings.LEAST[key], f"{path.name}: {key}"
