"""Every row of bad_inputs.yaml: what is said of a bad input, and that nothing else is lost.

bad_inputs_page.py writes the rows, with the messages in full, to docs/bad_inputs.md.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import bad_downloads  # noqa: F401, registers its builders
import pytest
import torch
import yaml
from bad_input_files import DATA, FILMS, phantom
from monai.bundle import ConfigWorkflow
from PIL import Image

from scripts import settings
from scripts.errors import BundleError, root_cause

ROOT = Path(__file__).resolve().parents[1]
TABLE = yaml.safe_load((ROOT / "tests" / "bad_inputs.yaml").read_text())
# id to run, config, and settings that make it small
COMMANDS = {
    "segment": ("run", "inference.yaml", {}),
    "train": (
        "training",
        "train.yaml",
        {"image_size": 64, "window_size": 4, "rank": 6, "target_rank": 3, "epochs": 1, "qat_epochs": 1},
    ),
    "evaluate": ("evaluating", "evaluate.yaml", {}),
    "prepare": ("prepare", "prepare.yaml", {}),
}
GOOD = ("first.png", "last.png")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`; links and pipes by what they are."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def rows(*groups: str, only: str | None = None) -> list:
    """Parameters of a test."""
    chosen = [row for group in groups for row in TABLE[group]]
    return [pytest.param(row, id=row["name"]) for row in chosen if only is None or row.get(only)]


# Films


def file_name(row: Mapping) -> str:
    return row["file"] if "file" in row else "n" * (row["length"] - 4) + ".png"


def run_in_process(files: list[str], run_id: str, **overrides) -> None:
    """As monai.bundle's `run`, but for its command line."""
    workflow = ConfigWorkflow(
        config_file=[str(ROOT / "configs" / name) for name in files],
        workflow_type="train",
        logging_file=str(ROOT / "configs" / "logging.conf"),
        meta_file=str(ROOT / "configs" / "metadata.json"),
        run_id=run_id,
        **{"bundle_root": str(ROOT), **overrides},
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def segmented(folder: Path) -> dict:
    """All films of the table in one folder, between two good ones, segmented in one run."""
    films, out = folder / "films", folder / "out"
    films.mkdir()
    for name in GOOD:
        phantom(films / name)
    for row in TABLE["films"]:
        FILMS[row["input"]](films / file_name(row))
    before = digests(films)
    with pytest.raises(RuntimeError) as caught:  # MONAI's, around ours
        # On the INT8 artefact, which is the quickest of the backends
        paths = {"dataset_dir": str(films), "output_dir": str(out)}
        run_in_process(["inference.yaml"], "run", backend="onnxruntime", **paths)
    with (out / "results.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        results = {row["file"]: row for row in csv.DictReader(file)}
    return {"out": out, "results": results, "same": digests(films) == before, "error": str(root_cause(caught.value))}


@pytest.fixture(scope="module")
def ward(tmp_path_factory) -> dict:
    return segmented(tmp_path_factory.mktemp("ward"))


@pytest.mark.parametrize("row", rows("films"))
def test_film(ward, row):
    name = row.get("shows", file_name(row))
    if row["expects"] == "nothing":
        assert not any(listed.startswith(name) for listed in ward["results"])
        return
    result = ward["results"][name]
    if row["expects"] != "done":
        assert result["status"] == "failed" and name in result["message"]
        assert row["expects"] in result["message"] and not result["written"]
        return
    assert (result["status"], result["message"]) == ("done", "")
    with Image.open(ward["out"] / result["written"]) as mask:
        assert mask.size == (int(result["width"]), int(result["height"]))
    if "flags" in row:
        assert row["flags"] in result["flags"].split(";")


def test_films_beside_broken_ones_are_done_and_none_is_changed(ward):
    assert ward["same"]
    masks = [(ward["out"] / f"{Path(name).stem}_mask.png").read_bytes() for name in GOOD]
    assert masks[0] == masks[1] and all(ward["results"][name]["status"] == "done" for name in GOOD)
    failed = sum(row["expects"] not in ("done", "nothing") for row in TABLE["films"])
    assert f"{failed} of {len(ward['results'])} films failed" in ward["error"]
    assert len(ward["results"]) == len(GOOD) + sum(row["expects"] != "nothing" for row in TABLE["films"])
    written = {name for row in ward["results"].values() for name in row["written"].split(";") if name}
    assert set(digests(ward["out"])) == written | {"results.csv"}


# Commands


def filled(value: object, folder: Path) -> object:
    return value.replace("FOLDER", str(folder)) if isinstance(value, str) else value


def case(row: Mapping, folder: Path) -> tuple[list[str], str, dict]:
    """Write the row's input; the config files, the id to run and the settings of its command."""
    run_id, config, small = COMMANDS[row["command"]]
    (folder / "models").mkdir()
    (folder / "models" / "model.pt").write_bytes(b"weights of an earlier training")
    paths = {"dataset_dir": str(folder / "data"), "output_dir": str(folder / "out")}
    if row["command"] == "train":
        paths |= {"model_dir": str(folder / "models"), "base_weights": str(ROOT / "models" / "sam_vit_ti_phantom.pt")}
    elif row["command"] == "evaluate":
        paths["split_record"] = str(folder / "models" / "split.json")
    elif row["command"] == "prepare":
        paths = {"source": str(folder / "data"), "dataset_dir": str(folder / "out")}
    given = DATA[row["input"]](folder) or {}
    files = [config, *row.get("overlays", ()), *filter(None, [given.pop("overlay", None)])]
    typed = {key: filled(value, folder) for key, value in row.get("settings", {}).items()}
    return files, row.get("run", run_id), {**small, **paths, **given, **typed}


@contextmanager
def nobody() -> Iterator[None]:
    """Do what follows without the rights of root, whom no permission stops."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder(request, tmp_path) -> Iterator[Path]:
    """Of one case; one that others than its owner may enter, where the row asks for that."""
    if not request.getfixturevalue("row").get("as_nobody"):
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp())
    made.chmod(0o777)
    yield made
    subprocess.run(["chmod", "-R", "u+rwx", str(made)], check=True)
    shutil.rmtree(made)


def message_of(row: Mapping, folder: Path) -> str:
    """The one line that the row's command ends with, or "done"."""
    files, run_id, overrides = case(row, folder)
    before = digests(folder)
    try:
        with nobody() if row.get("as_nobody") else tempfile.TemporaryDirectory():
            run_in_process(files, run_id, **overrides)
    except Exception as error:
        cause = root_cause(error)
        if cause is None:
            raise
        found = str(cause)
    else:
        found = "done"
    kept(row, folder, before)
    return found


def kept(row: Mapping, folder: Path, before: Mapping[str, str]) -> None:
    """What a command was given is as it was, and earlier weights and results are, too."""
    after = digests(folder)
    assert {name: after.get(name) for name in before} == before
    assert set(row.get("keeps", ())) <= set(before), "the row keeps something that is not there"
    assert "models/model.pt" in before
    if row["expects"] != "done":
        assert not [name for name in set(after) - set(before) if name.startswith("models/")]
    if "leaves_out" in row:
        assert not (folder / row["leaves_out"]).exists()


@pytest.mark.parametrize(
    "row",
    [row for row in rows("data", "folders", "weights", "settings", "prepare") if row.values[0].get("shell") != "only"],
)
def test_command(row, folder):
    found = message_of(row, folder)
    assert row["expects"] in found and "\n" not in found


def words_of(row: Mapping, folder: Path) -> list[str]:
    """What a user types after ``python -m monai.bundle``."""
    files, run_id, overrides = case(row, folder)
    root = Path(overrides.get("bundle_root", ROOT))
    config = [name if "/" in name else f"{root}/configs/{name}" for name in files]
    words = ["run", *([run_id] if run_id else []), "--config_file", str(config) if len(config) > 1 else config[0]]
    for key, value in {"bundle_root": str(root), **overrides}.items():
        words += [f"--{key}", str(value)]
    return words


@pytest.mark.parametrize("row", rows("typed"))
def test_typed(row, folder, monkeypatch):
    """In this process, with the command line that MONAI reads; the check is the first thing that a config does."""
    command = words_of(row, folder)
    monkeypatch.setattr(sys, "argv", ["/site-packages/monai/bundle/__main__.py", *command])
    if row["expects"] == "done":
        settings.check_command()
        return
    with pytest.raises(BundleError, match=re.escape(row["expects"])) as caught:
        settings.check_command()
    assert "\n" not in str(caught.value)


def ended(row: Mapping, folder: Path) -> subprocess.CompletedProcess:
    """The row as a command of its own."""
    words = words_of(row, folder)
    before = digests(folder)
    process = subprocess.run(
        [sys.executable, "-m", "monai.bundle", *words],
        cwd=folder if (folder / "scripts").is_dir() else ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    kept(row, folder, before)
    return process


def error_line(process: subprocess.CompletedProcess) -> str:
    """What stands behind the one `error: `, with which the command ends."""
    lines = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert process.returncode == 1 and len(lines) == 1, process.stderr[-2000:]
    assert process.stderr.rstrip().endswith(lines[0]) and "Traceback" not in process.stderr
    return lines[0].removeprefix("error: ")


@pytest.mark.parametrize("row", rows(*(group for group in TABLE if group != "films"), only="shell"))
def test_shell(row, folder):
    """As a user types it: exit status 1, one line of error, and nothing of Python's."""
    assert row["expects"] in error_line(ended(row, folder))


def test_the_table_is_whole():
    names = [row["name"] for group in TABLE.values() for row in group]
    assert len(names) == len(set(names)) >= 45
    for group, table in TABLE.items():
        for row in table:
            assert row["input"] in (FILMS if group == "films" else DATA) and row["expects"], row["name"]
    used = {row["input"] for group in TABLE.values() for row in group}
    assert used >= set(FILMS) and used >= set(DATA), "a builder that no row uses"


def test_what_the_table_says_of_code_can_fail(tmp_path):
    """The file that must not be there is there if the same checkpoint is unpickled after all."""
    DATA["code_in_weights"](tmp_path)
    torch.load(tmp_path / "given.pt", weights_only=False)
    assert (tmp_path / "ran").exists()


def test_the_page_has_every_row_with_its_message():
    text = (ROOT / "docs" / "bad_inputs.md").read_text()
    for table in TABLE.values():
        for row in table:
            line = next(line for line in text.splitlines() if line.startswith(f"| {row['name']} |"))
            assert {"nothing": "not listed"}.get(row["expects"], row["expects"]) in line
