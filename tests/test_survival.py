"""Power cuts and full disks: nothing is lost, and what follows is the undisturbed run bit by bit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from endurance.kill_anywhere import ENVIRONMENT, command, difference, endure, undisturbed


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    return undisturbed(tmp_path_factory.mktemp("runs"))


def test_run_killed_in_both_stages_and_while_writing_ends_as_if_undisturbed(runs, tmp_path):
    places = endure(tmp_path, *runs, kills=4)
    assert any(place.startswith("stage1, writing") for place in places), places
    assert any(place.startswith("stage2, writing") for place in places), places


def test_full_disk_stops_with_one_line_and_the_run_goes_on_when_there_is_room(runs, tmp_path):
    data, whole = runs
    disk = tmp_path / "cut"
    disk.mkdir()

    def mount(*options: str) -> None:
        made = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", disk], capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")

    mount("-o", "size=64m")  # room for the weights and one state to resume from, not for the next one beside it
    try:
        stopped = subprocess.run(command(data, disk), cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
        errors = [line for line in stopped.stderr.splitlines() if line.startswith("error: ")]
        assert stopped.returncode == 1 and len(errors) == 1, stopped.stderr[-2000:]
        assert ".pt: not written, no space left on the disk (the file of that name is whole" in errors[0]
        last = disk / "eval" / "stage1" / "last.pt"
        assert torch.load(last, weights_only=True)["trainer"]["iteration"] > 0
        mount("-o", "remount,size=400m")
        subprocess.run(command(data, disk), cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True)
        assert difference(whole, disk) == []
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
