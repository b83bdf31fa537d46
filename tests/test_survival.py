"""Power cuts and full disks: nothing is lost, and what follows is the undisturbed run bit by bit."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import data_sets
import pytest
import torch
from conftest import ROOT, mounted
from endurance.kill_anywhere import ENVIRONMENT, command, difference, endure, undisturbed

from scripts.datasets import conversion, prepare
from scripts.datasets.manifest import read_rows
from scripts.errors import BundleError


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    return undisturbed(tmp_path_factory.mktemp("runs"))


def test_run_killed_in_both_stages_and_while_writing_ends_as_if_undisturbed(runs, tmp_path):
    places = endure(tmp_path, *runs, kills=4)
    assert any(place.startswith("stage1, writing") for place in places), places
    assert any(place.startswith("stage2, writing") for place in places), places


def test_same_seed_gives_the_same_weights_with_and_without_worker_processes(runs, tmp_path):
    data, whole = runs
    typed = [*command(data, tmp_path), "--num_workers", "2"]
    subprocess.run(typed, cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True)
    assert difference(whole, tmp_path) == []


def test_full_disk_stops_with_one_line_and_the_run_goes_on_when_there_is_room(runs, tmp_path):
    data, whole = runs
    disk = tmp_path / "cut"
    # Room for the weights and one state to resume from, not for the next one beside it
    with mounted(disk, "size=64m") as mount:
        stopped = subprocess.run(command(data, disk), cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
        errors = [line for line in stopped.stderr.splitlines() if line.startswith("error: ")]
        assert stopped.returncode == 1 and len(errors) == 1, stopped.stderr[-2000:]
        assert ".pt: not written, no space left on the disk (the file of that name is whole" in errors[0]
        last = disk / "eval" / "stage1" / "last.pt"
        assert torch.load(last, weights_only=True)["trainer"]["iteration"] > 0
        mount("remount,size=400m")
        subprocess.run(command(data, disk), cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True)
        assert difference(whole, disk) == []


# Data sets


def prepared(layout: str, source: Path, out: Path, num_workers: int = 2) -> None:
    path = ROOT / "configs" / "layouts" / f"{layout}.yaml"
    prepare(path, source, out, distance=8, correlation=0.97, num_workers=num_workers)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the fingerprints, which hold the times of the films."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "fingerprints.npz"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture
def downloads(tmp_path) -> Path:
    """Three films that take 8 MB as PNG files, and a small data set."""
    data_sets.jsrt_scr(tmp_path / "downloads" / "jsrt", [300, 301, 302])
    data_sets.covid_qu_ex(tmp_path / "downloads" / "small", [310, 311, 312])
    return tmp_path / "downloads"


def test_full_disk_stops_preparing_and_it_goes_on_when_there_is_room(downloads, tmp_path):
    for layout, name in (("covid_qu_ex", "small"), ("jsrt_scr", "jsrt")):
        prepared(layout, downloads / name, tmp_path / "whole")
    with mounted(tmp_path / "disk", "size=4m") as mount:
        prepared("covid_qu_ex", downloads / "small", tmp_path / "disk")
        before = contents(tmp_path / "disk")
        with pytest.raises(BundleError, match=r"\.png: not written, no space left on the disk .*; make room"):
            prepared("jsrt_scr", downloads / "jsrt", tmp_path / "disk")
        after = contents(tmp_path / "disk")
        assert before.items() <= after.items() and not [name for name in after if name.endswith(".partial")]
        mount("remount,size=40m")
        prepared("jsrt_scr", downloads / "jsrt", tmp_path / "disk")
        assert contents(tmp_path / "disk") == contents(tmp_path / "whole")


def test_disk_that_turns_read_only_stops_preparing(downloads, tmp_path, monkeypatch):
    prepared("jsrt_scr", downloads / "jsrt", tmp_path / "whole")
    with mounted(tmp_path / "disk", "size=40m") as mount:
        write_png = conversion.write_png

        def write_and_lock(path: Path, array) -> None:
            write_png(path, array)
            mount("remount,ro")

        monkeypatch.setattr(conversion, "write_png", write_and_lock)
        with pytest.raises(BundleError, match=r"\.png: not written, the disk is read-only .*; make it writable"):
            prepared("jsrt_scr", downloads / "jsrt", tmp_path / "disk", num_workers=1)
        monkeypatch.undo()
        with pytest.raises(BundleError, match="cannot be written to"):
            prepared("jsrt_scr", downloads / "jsrt", tmp_path / "disk")
        mount("remount,rw")
        prepared("jsrt_scr", downloads / "jsrt", tmp_path / "disk")
        assert contents(tmp_path / "disk") == contents(tmp_path / "whole")


@pytest.mark.parametrize("full", ["manifest", "duplicates", "left_out"])
def test_disk_that_is_full_at_the_last_lists_leaves_all_of_them(downloads, tmp_path, monkeypatch, full):
    out = tmp_path / "out"
    prepared("covid_qu_ex", downloads / "small", out)
    before = contents(out)
    (downloads / "small" / "readme.txt").write_text("a file to leave out")
    opened = Path.open

    def open_unless_full(path: Path, mode: str = "r", **options):
        if mode == "w" and path.name.startswith(f"{full}.csv."):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return opened(path, mode, **options)

    monkeypatch.setattr(Path, "open", open_unless_full)
    with pytest.raises(BundleError, match="not written, no space left in the quota"):
        prepared("covid_qu_ex", downloads / "small", out)
    monkeypatch.undo()
    assert contents(out) == before
    prepared("covid_qu_ex", downloads / "small", out)
    assert [Path(row["file"]).name for row in read_rows(out / "left_out.csv")] == ["readme.txt"]
