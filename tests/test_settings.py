"""What is typed is compared with the configs, and nothing that the bundle itself types is refused."""

from __future__ import annotations

import re
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


NOTHING_READS = {
    "train::epoch_stesp": "train::epoch_steps",
    "train#trainer#max_epoch": "train::trainer::max_epochs",
    "train::trainr::max_epochs": "train::trainer",
    "train::random_transforms::0::porb": "train::random_transforms::0::prob",
    "train::random_transforms::99": None,
    "train::network::encoder": None,
    "qat::checkpoint::best_pth": "qat::checkpoint::best_path",
    "split::sed": "split::seed",
    "+epochs": "epochs",
}


@pytest.mark.parametrize(("key", "nearest"), NOTHING_READS.items())
def test_a_nested_setting_that_nothing_reads_is_refused(key, nearest):
    message = f"no setting {key.replace('#', '::')!r} in train.yaml"
    with pytest.raises(BundleError, match=re.escape(message) + (f"; did you mean --{nearest}[?]$" if nearest else "$")):
        check_settings({key: 3}, [ROOT / "configs" / "train.yaml"])


@pytest.mark.parametrize(
    "settings_",
    [
        {"targets::neck.*": ["q"]},  # a mapping that is handed on as a whole
        {"fractions::test": 0.1},
        {"validate::key_metric::another": "@validate::inferer"},
        {"train::optimizer::betas": [0.9, 0.99]},  # an argument that the config leaves out
        {"train::trainer::amp": True},
        {"validate::dataloader::pin_memory": True},  # **kwargs
        {"train::optimizer::_target_": "torch.optim.SGD", "train::optimizer::momentum": 0.9},
        {"train::optimizer": {"_target_": "torch.optim.SGD"}, "train::optimizer::momentum": 0.9},
        {"train::optimizer::_target_": "$torch.optim.SGD", "train::optimizer::momentum": 0.9},
        {"train::half": 15, "epochs": "$2 * @train::half"},
        {"train::half": 15, "train::trainer::max_epochs": "@##half"},
        {"train::part": {"a": 1}, "epochs": "%train::part::a"},
        {"train::trainer::_disabled_": True, "train::trainer::_desc_": "", "train::trainer::_requires_": "@split"},
        {"account::_mode_": "callable"},
        {"train::handlers::0::gamma": 0.1, "train::random_transforms::-1::jitter": 3},
    ],
    ids=lambda typed: next(reversed(typed)),
)
def test_a_nested_setting_that_monai_honours_passes(settings_):
    check_settings(settings_, [ROOT / "configs" / "train.yaml"])


def overlays() -> list:
    """Overlays of the bundle, each after the configs that it says it lies on."""
    found = []
    for path in CONFIGS:
        lies_on = re.search(r"Overlay on (\w+\.yaml)(?: with (\w+\.yaml))?", path.read_text())
        if lies_on:
            files = [ROOT / "configs" / name for name in lies_on.groups() if name]
            found.append(pytest.param([*files, path], id=path.name))
    return found


@pytest.mark.parametrize("files", overlays())
def test_nested_settings_of_the_bundles_own_overlays_pass(files, tmp_path):
    of_a_user = tmp_path / files[-1].name
    of_a_user.write_text(files[-1].read_text())
    check_settings({}, [*files[:-1], of_a_user])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train::epoch_stesp: 3\n", "no config reads 'train::epoch_stesp'; did you mean train::epoch_steps"),
        ("+train::trainer: {max_epoch: 3}\n", "'train::trainer::max_epoch'; did you mean train::trainer::max_epochs"),
        ("train::trainr::a: 3\n", "no config reads 'train::trainr::a'; did you mean train::trainer"),
        ("seed: -1\n", "seed must be at least 0, got -1"),
    ],
)
def test_an_overlay_that_nothing_reads_is_refused(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(BundleError, match=f"mine.yaml: .*{message}"):
        check_settings({}, [ROOT / "configs" / "train.yaml", tmp_path / "mine.yaml"])


def test_an_overlay_that_holds_itself_is_looked_at_once(tmp_path):
    (tmp_path / "mine.yaml").write_text("targets: &a {b: *a}\ntrain::trainer::max_epochs: 3\n")
    check_settings({}, [ROOT / "configs" / "train.yaml", tmp_path / "mine.yaml"])


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
